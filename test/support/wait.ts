import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Waits until a condition holds. The test's own timeout is the only limit: a test waits for what must come, and
 * a slow machine makes it slow and nothing else.
 */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(20)
}
