import { parentPort, workerData } from 'node:worker_threads'

/**
 * Wakes the load generator in equal intervals. Timers of the event loop have a resolution of one millisecond,
 * which can be the time of a whole request. A sleeping thread is about 0.1 ms late and needs almost no CPU
 * time.
 */
const { intervalMilliseconds, ticks } = workerData as { intervalMilliseconds: number; ticks: number }
const neverNotified = new Int32Array(new SharedArrayBuffer(4))

parentPort?.once('message', () => {
  const start = performance.now()
  for (let tick = 0; tick < ticks; tick += 1) {
    const waitMilliseconds = start + tick * intervalMilliseconds - performance.now()
    if (waitMilliseconds > 0) Atomics.wait(neverNotified, 0, 0, waitMilliseconds)
    parentPort?.postMessage('now')
  }
})
parentPort?.postMessage('ready')
