import { execFile } from 'node:child_process'
import { messageOf } from './error.ts'
import type { ServerUser } from './server-user.ts'

/**
 * The whole environment of the server and of every command. The environment of the program that uses this
 * package may hold secrets. A process that does not need them must not have them in its memory or in /proc.
 */
export const serverEnvironment = {
  LANG: 'C',
  LC_ALL: 'C',
  TZ: 'UTC',
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
} as const

/** Milliseconds for a command that only looks something up. */
export const lookupTimeoutMilliseconds = 10_000

export interface Outcome {
  readonly succeeded: boolean
  /** What the command wrote to both streams, without the last line break. */
  readonly output: string
}

/** Runs a command, as the server's user when there is one. Never throws. */
export function run(
  program: string,
  programArguments: readonly string[],
  user: ServerUser | undefined,
  timeoutMilliseconds = 0,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = {
      cwd: '/', // Every user may enter it. The server's user may not be able to enter ours.
      env: serverEnvironment,
      timeout: timeoutMilliseconds,
      ...(user && { uid: user.uid, gid: user.gid }),
    }
    try {
      execFile(program, [...programArguments], options, (error, stdout, stderr) => {
        const output = `${stdout}${stderr}`.trim()
        resolve({ succeeded: error === null, output: error && output === '' ? error.message : output })
      })
    } catch (error) {
      // Node throws some failures at once: EPERM when root lacks the capability to become another user.
      resolve({ succeeded: false, output: messageOf(error) })
    }
  })
}
