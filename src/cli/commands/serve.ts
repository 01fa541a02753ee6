import { readServiceConfig } from '../../config.ts'
import { openDatabaseServer } from '../../process/database-server.ts'
import { refuseInspector } from '../../process/inspector.ts'
import { Lifetime } from '../../process/lifetime.ts'
import { createServiceLog, runService } from '../../process/run-service.ts'
import { release } from '../../release.ts'
import { defineCommand } from '../terminal/command.ts'

export const serve = defineCommand({
  path: ['serve'],
  summary: 'run the service',
  details:
    'The database must be migrated ("bin/mintmark migrate"). The log goes to stdout as JSON lines. SIGTERM and SIGINT\n' +
    'end the service in order: it answers the current requests first. A second signal ends it at once. SIGHUP makes it\n' +
    'read its certificate again. .env.example lists the settings.',
  options: {},
  examples: [
    ['bin/mintmark migrate && bin/mintmark serve', 'on the embedded database'],
    [
      'DATABASE_URL=postgresql://… MINTMARK_KEY_ENCRYPTION_KEY_FILE=/run/secrets/key bin/mintmark serve',
      'in production',
    ],
    ['WORKERS=4 bin/mintmark serve', 'four processes on one port, for a machine with several cores'],
  ],
  async run() {
    refuseInspector()
    const config = readServiceConfig()
    const log = createServiceLog(config)
    const report = (message: string): void => log.warn({ event: 'notice' }, message)
    const lifetime = new Lifetime(log)
    await lifetime.run(async () => {
      const server = await openDatabaseServer(config, 'refuse', 'rights', report)
      lifetime.onClose(() => server.release())
      for (const warning of server.warnings) report(warning)
      const baseUrl = await runService(config, server, log, lifetime)
      const fields = {
        event: 'listening',
        url: baseUrl,
        issuer: config.issuer,
        release,
        workers: config.workers,
        database: server.description,
      }
      log.info(fields, `listening on ${baseUrl}`)
    })
  },
})
