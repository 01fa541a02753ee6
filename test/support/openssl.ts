import { spawnSync } from 'node:child_process'

/** Whether a program is at hand. Tests that need one are skipped by name elsewhere. */
export const isAtHand = (program: string): boolean =>
  spawnSync(program, ['version'], { stdio: 'ignore' }).error === undefined

/** What openssl says, on either output. */
export function openssl(...words: readonly string[]): string {
  const { stdout, stderr } = spawnSync('openssl', words, { encoding: 'utf8' })
  return stdout + stderr
}
