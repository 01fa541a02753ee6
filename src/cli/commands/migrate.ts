import { readConfig } from '../../config.ts'
import { migrate as applyMigrations, migrationStateOf } from '../../database/migrate.ts'
import { openDatabaseServer } from '../../process/database-server.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { json, note, print } from '../terminal/output.ts'

export const migrate = defineCommand({
  path: ['migrate'],
  summary: 'bring the database to what this release needs',
  details:
    'Creates the embedded database if there is none. Safe to run again, and from several places at once: one migrates,\n' +
    'the others wait for it, a minute at most. Take a backup first. Migrations only add: processes of the previous\n' +
    'release that run already go on, but one that starts again, and any command of it, refuses a database with a\n' +
    'migration that it does not know.',
  options: {
    status: { type: 'boolean', description: 'say what is applied and what is pending, and do nothing' },
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark migrate', 'before the first start, and after every upgrade'],
    ['bin/mintmark migrate --status', 'see whether there is something to do'],
  ],
  async run(options) {
    const server = await openDatabaseServer(readConfig(), options.status ? 'refuse' : 'create', note)
    try {
      if (options.status) {
        const { applied, pending } = await migrationStateOf(server.url)
        if (options.json) print(`${json({ applied, pending })}\n`)
        else print(list('applied', applied) + list('pending', pending))
        return
      }
      const applied = await applyMigrations(server.url, { report: note })
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
