// First, before anything else is loaded: they close doors.
import './inspector.ts'
import './inherited.ts'
import cluster from 'node:cluster'
import { readConfig } from '../config.ts'
import { openDatabaseServer } from './database-server.ts'
import { explain } from './explain.ts'
import { groupSignals, Lifetime } from './lifetime.ts'
import { createServiceLog, serveAlone } from './run-service.ts'
import { watchOutput } from './standard-output.ts'
import { endMessage, reloadMessage, type WorkerMessage } from './workers.ts'

/** The program of a worker process. Only workers.ts forks it. */

async function run(): Promise<never> {
  const config = readConfig()
  const log = createServiceLog(config)
  const report = (message: string): void => log.warn({ event: 'notice' }, message)
  const lifetime = new Lifetime(log, groupSignals)
  // The terminal sends these signals to the primary too. The primary then tells the workers what to do.
  for (const signal of groupSignals) process.on(signal, () => {})
  process.on('SIGTERM', () => lifetime.end('SIGTERM'))
  process.on('message', (message) => {
    if (message === endMessage) lifetime.end('the primary ends')
    if (message === reloadMessage) lifetime.reload()
  })
  return await lifetime.run(async () => {
    // The worker registers as a user of the embedded server itself. So the server keeps running if the
    // primary dies and this worker still has requests to answer.
    const server = await openDatabaseServer(config, 'refuse', 'nothing', report)
    lifetime.onClose(() => server.release())
    await serveAlone(config, server, log, lifetime)
    await tell({ ready: true })
  })
}

/** Resolves when the message is sent, or when the primary is gone. */
function tell(message: WorkerMessage): Promise<void> {
  return new Promise((resolve) => {
    cluster.worker?.send(message, () => resolve())
  })
}

if (cluster.worker === undefined)
  throw new Error('This is a part of "serve" and "start". Run one of these instead.')
// Without this, Node ends a worker at once when its primary is gone, and its current requests with it.
cluster.worker.exitedAfterDisconnect = true
watchOutput()
try {
  await run()
} catch (error) {
  const explanation = explain(error)
  await tell({ ready: false, ...explanation })
  process.exit(explanation.exitCode)
}
