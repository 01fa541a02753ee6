import { readCommandConfig } from '../../config.ts'
import { databaseFault } from '../../database/faults.ts'
import { migrate as applyMigrations, migrationStateOf } from '../../database/migrate.ts'
import { grantRoles } from '../../database/roles.ts'
import { OperatorError } from '../../errors.ts'
import { openDatabaseServer } from '../../process/database-server.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { json, note, print } from '../terminal/output.ts'
import { terminal } from '../terminal/terminal.ts'

export const migrate = defineCommand({
  path: ['migrate'],
  summary: 'apply the migrations that this release needs',
  details:
    'Creates the embedded database if there is none. You can run it again, and from several machines at once: one\n' +
    'migrates, and the others wait for it, a minute at most. Take a backup first. Migrations only add to the database,\n' +
    'so running processes of the previous release continue. But commands of that release, and processes that start\n' +
    'again, refuse a database with an unknown migration.\n\n' +
    'With --service-role and --operator-role it also grants what "serve" and the other commands need to roles that do not\n' +
    'own the tables. Both can only add to the ledger. No other role can connect to the database then, except its owner.\n' +
    'Name the roles in every migration: a release may need other rights.',
  options: {
    status: { type: 'boolean', description: 'only list the applied and the pending migrations' },
    'service-role': { type: 'string', value: 'NAME', description: 'the role with which "serve" connects' },
    'operator-role': {
      type: 'string',
      value: 'NAME',
      description: 'the role with which commands connect that change clients, resources or keys',
    },
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark migrate', 'before the first start, and after every upgrade'],
    [
      'bin/mintmark migrate --service-role mintmark_service --operator-role mintmark_operator',
      'in production',
    ],
    ['bin/mintmark migrate --status', 'see whether a migration is pending'],
  ],
  async run(options) {
    const roles = { service: options['service-role'], operator: options['operator-role'] }
    if (roles.service !== undefined && roles.service === roles.operator)
      throw usageError(
        `--operator-role: ${roles.operator} is the role of --service-role too. Name two roles: that of the service may change no clients and resources.`,
      )
    const server = await openDatabaseServer(
      readCommandConfig(terminal().environment),
      options.status ? 'refuse' : 'create',
      'nothing',
      note,
    )
    try {
      if (options.status) {
        const { applied, pending } = await migrationStateOf(server.url)
        if (options.json) print(`${json({ applied, pending })}\n`)
        else print(list('applied', applied) + list('pending', pending))
        return
      }
      const applied = await applyMigrations(server.url, { report: note })
      if (roles.service !== undefined || roles.operator !== undefined)
        for (const word of await grantRoles(server.url, roles)) note(word)
      if (options.json) print(`${json({ applied })}\n`)
      else if (applied.length === 0) print(`${server.description} is up to date.\n`)
      else print(`${list('applied', applied)}${server.description} is up to date.\n`)
    } catch (error) {
      throw asOwner(error)
    } finally {
      await server.release()
    }
  },
})

/** Other commands need the role of the operator, and this one needs the owner. */
function asOwner(error: unknown): unknown {
  const fault = databaseFault(error)
  if (fault?.code !== '42501') return error
  const words = `The database refused: ${fault.message}. "migrate" needs the role that owns the tables in DATABASE_URL.`
  return new OperatorError(words, { cause: error })
}

function list(state: string, names: readonly string[]): string {
  return names.map((name) => `${state}  ${name}\n`).join('')
}
