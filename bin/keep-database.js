// Opens the database that the settings name, creates the embedded one if there is none, and holds it until the
// process that started this one closes its channel or ends. For develop.js; it needs the Node of the service.
import process from 'node:process'
import { openServer } from '../src/cli/terminal/connect.ts'
import { explain } from '../src/cli/terminal/explain.ts'
import { readConfig } from '../src/config.ts'

/** @param {string} message */
const report = (message) => process.stderr.write(`    ${message}\n`)

try {
  const server = await openServer(readConfig(), 'create', report)
  process.once('disconnect', () => server.release().finally(() => process.exit(0)))
  // Signals of the terminal are for the service, which still needs the database while it ends.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {})
  process.send?.('open')
} catch (error) {
  const { message, exitCode } = explain(error)
  process.stderr.write(`mintmark: ${message}\n`)
  process.exit(exitCode)
}
