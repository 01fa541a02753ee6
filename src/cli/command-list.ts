import type { Command } from './terminal/command.ts'
import type { CommandGroup } from './terminal/help.ts'

/**
 * The words of every command, and where it is, in the order of the help. A command that is not in this list cannot be
 * called. Only the one that is called is loaded: all of them take as long to load as the rest of the program.
 */
const places: readonly (readonly [words: string, load: () => Promise<Command>])[] = [
  ['start', async () => (await import('./commands/start.ts')).start],
  ['serve', async () => (await import('./commands/serve.ts')).serve],
  ['migrate', async () => (await import('./commands/migrate.ts')).migrate],
  ['seed', async () => (await import('./commands/seed.ts')).seed],
  ['clients list', async () => (await import('./commands/clients-list.ts')).clientsList],
  ['clients show', async () => (await import('./commands/clients.ts')).clientsShow],
  ['clients create', async () => (await import('./commands/clients-create.ts')).clientsCreate],
  ['clients update', async () => (await import('./commands/clients-update.ts')).clientsUpdate],
  ['clients disable', async () => (await import('./commands/clients.ts')).clientsDisable],
  ['clients enable', async () => (await import('./commands/clients.ts')).clientsEnable],
  ['clients delete', async () => (await import('./commands/clients.ts')).clientsDelete],
  ['clients access grant', async () => (await import('./commands/clients-access.ts')).clientsAccessGrant],
  ['clients access remove', async () => (await import('./commands/clients-access.ts')).clientsAccessRemove],
  ['clients secrets add', async () => (await import('./commands/secrets.ts')).secretsAdd],
  ['clients secrets rotate', async () => (await import('./commands/secrets-rotate.ts')).secretsRotate],
  ['clients secrets list', async () => (await import('./commands/secrets.ts')).secretsList],
  ['clients secrets revoke', async () => (await import('./commands/secrets-revoke.ts')).secretsRevoke],
  ['clients keys add', async () => (await import('./commands/clients-keys.ts')).clientsKeysAdd],
  ['clients keys list', async () => (await import('./commands/clients-keys.ts')).clientsKeysList],
  ['clients keys revoke', async () => (await import('./commands/clients-keys.ts')).clientsKeysRevoke],
  ['resources list', async () => (await import('./commands/resources.ts')).resourcesList],
  ['resources create', async () => (await import('./commands/resources-change.ts')).resourcesCreate],
  ['resources update', async () => (await import('./commands/resources-change.ts')).resourcesUpdate],
  ['resources delete', async () => (await import('./commands/resources-change.ts')).resourcesDelete],
  ['trust list', async () => (await import('./commands/trust.ts')).trustList],
  ['trust add', async () => (await import('./commands/trust-add.ts')).trustAdd],
  ['trust test', async () => (await import('./commands/trust-test.ts')).trustTest],
  ['trust document', async () => (await import('./commands/trust-document.ts')).trustDocument],
  ['trust remove', async () => (await import('./commands/trust.ts')).trustRemove],
  ['trust disable', async () => (await import('./commands/trust.ts')).trustDisable],
  ['trust enable', async () => (await import('./commands/trust.ts')).trustEnable],
  ['trust workloads', async () => (await import('./commands/trust-workloads.ts')).trustWorkloads],
  ['trust block', async () => (await import('./commands/trust-workloads.ts')).trustBlock],
  ['trust unblock', async () => (await import('./commands/trust-workloads.ts')).trustUnblock],
  ['registry seal', async () => (await import('./commands/registry-seal.ts')).registrySeal],
  ['keys list', async () => (await import('./commands/keys-list.ts')).keysList],
  ['keys export', async () => (await import('./commands/keys-export.ts')).keysExport],
  ['keys rotate', async () => (await import('./commands/keys-rotate.ts')).keysRotate],
  ['keys revoke', async () => (await import('./commands/keys-revoke.ts')).keysRevoke],
  ['keys rewrap', async () => (await import('./commands/keys-rewrap.ts')).keysRewrap],
  ['keys abandon', async () => (await import('./commands/keys-abandon.ts')).keysAbandon],
  ['audit list', async () => (await import('./commands/audit.ts')).auditList],
  ['audit compare', async () => (await import('./commands/audit-compare.ts')).auditCompare],
  ['audit export', async () => (await import('./commands/audit-export.ts')).auditExport],
  ['audit verify', async () => (await import('./commands/audit-verify.ts')).auditVerify],
  ['ca init', async () => (await import('./commands/ca-init.ts')).caInit],
  ['ca issue', async () => (await import('./commands/ca-issue.ts')).caIssue],
  ['ca renew', async () => (await import('./commands/ca-renew.ts')).caRenew],
  ['ca revoke', async () => (await import('./commands/ca-revoke.ts')).caRevoke],
  ['ca show', async () => (await import('./commands/ca-show.ts')).caShow],
  ['proxy check', async () => (await import('./commands/proxy-check.ts')).proxyCheck],
  ['token', async () => (await import('./commands/token.ts')).token],
]

/** The command that these words begin with. */
export async function findCommand(words: readonly string[]): Promise<Command | undefined> {
  const place = places.find(([path]) => path.split(' ').every((word, index) => words[index] === word))
  return await place?.[1]()
}

/** Every command, in the order of the help. */
export async function allCommands(): Promise<readonly Command[]> {
  return await Promise.all(places.map(([, load]) => load()))
}

/** Words that several commands begin with. */
export const groups: readonly CommandGroup[] = [
  { path: ['clients'], summary: 'machines that may ask for tokens, and their secrets' },
  {
    path: ['clients', 'secrets'],
    summary: "clients' secrets: several are valid at once, so that one can be replaced without a gap",
  },
  {
    path: ['clients', 'keys'],
    summary: "clients' public keys, which verify their assertions: several are valid at once",
  },
  { path: ['clients', 'access'], summary: 'which resources a client may call, and with which scopes' },
  { path: ['resources'], summary: 'what tokens are for' },
  { path: ['trust'], summary: 'other issuers whose assertions are accepted, and what their workloads get' },
  { path: ['registry'], summary: 'all of it: clients, secrets, access, resources and trusted issuers' },
  {
    path: ['keys'],
    summary: 'the keys that sign tokens',
    examples: [
      [
        'bin/mintmark keys rotate --plan',
        'when the next key could sign, and who has not fetched it; does nothing',
      ],
      ['bin/mintmark keys rotate --now', 'the next key signs at once; says what that breaks'],
    ],
  },
  { path: ['audit'], summary: 'the ledger: what was issued, refused and changed' },
  { path: ['ca'], summary: 'a CA for development and tests: certificates for TLS, as files' },
  { path: ['proxy'], summary: 'the proxy in front, where it passes on the certificates of its callers' },
]
