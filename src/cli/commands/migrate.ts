import { readCommandConfig } from '../../config.ts'
import { migrate as applyMigrations, migrationStateOf } from '../../database/migrate.ts'
import { grantRoles } from '../../database/roles.ts'
import { openDatabaseServer } from '../../process/database-server.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
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
      const roles = { service: options['service-role'], operator: options['operator-role'] }
      if (roles.service !== undefined || roles.operator !== undefined)
        for (const word of await grantRoles(server.url, roles)) note(word)
      if (options.json) print(`${json({ applied })}\n`)
      else if (applied.length === 0) print(`${server.description} is up to date.\n`)
      else print(`${list('applied', applied)}${server.description} is up to date.\n`)
    } finally {
      await server.release()
    }
  },
})

function list(state: string, names: readonly string[]): string {
  return names.map((name) => `${state}  ${name}\n`).join('')
}
