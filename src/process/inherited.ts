/**
 * Takes from the environment what would change this process behind its own settings. Importing this file, before all
 * others, does it. Workers inherit the rest.
 *
 * NODE_TLS_REJECT_UNAUTHORIZED=0 makes every TLS connection of Node accept any server, also where a secret is sent. DEBUG=*
 * is meant for other programs in the same environment. With it Prisma prints every statement with its values, hashes of
 * secrets and sealed keys among them.
 */
// biome-ignore lint/style/noProcessEnv: nothing is read here.
for (const name of ['NODE_TLS_REJECT_UNAUTHORIZED', 'DEBUG']) delete process.env[name]
