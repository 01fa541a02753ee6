// Opens the database that the settings name, creates the embedded one if there is none, and holds it until the
// process that started this one closes its channel or ends. For develop.js; it needs the Node of the service.
// First, before anything else is loaded: it closes a door.
import '../src/process/inspector.ts'
import process from 'node:process'
import { messageOf } from '../src/cli/terminal/sentences.ts'
import { readConfig } from '../src/config.ts'
import { openDatabaseServer } from '../src/process/database-server.ts'
import { explain } from '../src/process/explain.ts'

/** @param {string} message */
const report = (message) => process.stderr.write(`    ${message}\n`)

try {
  const server = await openDatabaseServer(readConfig(), 'create', 'nothing', report)
  process.once('disconnect', () => server.release().finally(() => process.exit(0)))
  // Signals of the terminal are for the service, which still needs the database while it ends.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {})
  process.send?.('open')
} catch (error) {
  process.stderr.write(`mintmark: ${messageOf(error)}\n`)
  process.exit(explain(error).exitCode)
}
