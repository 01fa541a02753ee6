import { url } from 'node:inspector'
import { OperatorError } from '../errors.ts'

/**
 * Node opens its inspector on SIGUSR1. Everybody on the machine can connect to it, and can then run code in this
 * process and read its keys. Importing this file, before all others, takes the signal. What starts our processes also
 * says --disable-sigusr1 (bin/launch.js, Dockerfile), for the time before this line; that option alone would let the
 * signal end the process.
 */
process.on('SIGUSR1', () => {})

/** Whether this process was told to open the inspector, on its command line or by NODE_OPTIONS. */
export function isInspectorOpen(): boolean {
  return url() !== undefined
}

/** @throws OperatorError if this process was told to open the inspector, also by an inherited NODE_OPTIONS. */
export function refuseInspector(): void {
  if (!isInspectorOpen()) return
  throw new OperatorError(
    "Node's inspector is open. Who connects to it can read every secret and key of this process. Remove --inspect " +
      'from NODE_OPTIONS and from the command line. To debug, use "bin/mintmark start" or "dev".',
  )
}
