import { parentPort, workerData } from 'node:worker_threads'

/**
 * Wakes the load generator at even intervals. Timers of the event loop come a millisecond apart at best, which
 * is what a whole request may take; a thread that sleeps is some 0.1 ms late, and costs next to nothing.
 */
const { intervalMilliseconds, ticks } = workerData as { intervalMilliseconds: number; ticks: number }
const nobodyWakesIt = new Int32Array(new SharedArrayBuffer(4))

parentPort?.once('message', () => {
  const start = performance.now()
  for (let tick = 0; tick < ticks; tick += 1) {
    const waitMilliseconds = start + tick * intervalMilliseconds - performance.now()
    if (waitMilliseconds > 0) Atomics.wait(nobodyWakesIt, 0, 0, waitMilliseconds)
    parentPort?.postMessage('now')
  }
})
parentPort?.postMessage('ready')
