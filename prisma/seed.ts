/**
 * What `prisma db seed` runs: the command "bin/mintmark seed", on the file given or on the example. Prisma gives this
 * file its name. The work is done in src/administration/apply.ts; the database is the one that DATABASE_URL names, or
 * the embedded one.
 */
import { fileURLToPath } from 'node:url'
import { runCommand } from '../src/cli/main.ts'

const exampleFile = fileURLToPath(new URL('clients.example.yaml', import.meta.url))
const given = process.argv.slice(2)
const namesFile = given[0] !== undefined && !given[0].startsWith('-')

await runCommand(['seed', ...(namesFile ? given : [exampleFile, ...given])])
