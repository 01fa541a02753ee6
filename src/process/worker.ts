import cluster from 'node:cluster'
import { readConfig } from '../config.ts'
import { openDatabaseServer } from './database-server.ts'
import { explain } from './explain.ts'
import { groupSignals, Lifetime } from './lifetime.ts'
import { createServiceLog, serveAlone } from './run-service.ts'
import { watchOutput } from './standard-output.ts'
import { endMessage, type WorkerMessage } from './workers.ts'

/** A worker, as a process of its own: forked by workers.ts, and by nobody else. */

async function run(): Promise<never> {
  const config = readConfig()
  const log = createServiceLog(config)
  const report = (message: string): void => log.warn({ event: 'notice' }, message)
  const lifetime = new Lifetime(log, groupSignals)
  // The primary gets these as well, and says what they mean for us.
  for (const signal of groupSignals) process.on(signal, () => {})
  process.on('SIGTERM', () => lifetime.end('SIGTERM'))
  process.on('message', (message) => {
    if (message === endMessage) lifetime.end('the primary ends')
  })
  return await lifetime.run(async () => {
    // A place of our own among the users of an embedded server: it stays while we have to end without the primary.
    const server = await openDatabaseServer(config, 'refuse', report)
    lifetime.onClose(() => server.release())
    // What is to be said of the key-encryption key, the primary has said.
    await serveAlone(config, server, log, lifetime, () => {})
    await tell({ ready: true })
  })
}

/** Resolves when the primary has it, or is gone. */
function tell(message: WorkerMessage): Promise<void> {
  return new Promise((resolve) => {
    cluster.worker?.send(message, () => resolve())
  })
}

if (cluster.worker === undefined)
  throw new Error('This is a part of "serve" and "start", not a program of its own.')
// Otherwise Node ends a worker at once when its primary is gone, and with it the requests under way.
cluster.worker.exitedAfterDisconnect = true
watchOutput()
try {
  await run()
} catch (error) {
  const explanation = explain(error)
  await tell({ ready: false, ...explanation })
  process.exit(explanation.exitCode)
}
