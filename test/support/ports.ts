import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * Ports that nobody else gets between the question and the start of a service, however slow that is: the system gives
 * ports from 32768 on to connections and to whoever asks for any, and each worker of a test run has its own here.
 */
const portsPerWorker = 1_000
const firstPort = 12_000 + (Number(process.env['VITEST_POOL_ID'] ?? 0) % 20) * portsPerWorker
let portsGiven = randomInt(portsPerWorker)

/** A port that is free, and that this process has not been given for long. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = firstPort + (portsGiven % portsPerWorker)
    portsGiven += 1
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
