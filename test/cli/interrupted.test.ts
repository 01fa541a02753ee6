/** A command that is interrupted while it waits for the database changes nothing when the database answers. */
import { Readable, Writable } from 'node:stream'
import { expect } from 'vitest'
import { withDatabase } from '../../src/cli/terminal/connect.ts'
import { Interrupted } from '../../src/cli/terminal/interrupted.ts'
import { atTerminal, type Terminal } from '../../src/cli/terminal/terminal.ts'
import { test } from '../support/fixtures.ts'

/** @param interrupt calls back when Ctrl-C is pressed. */
function terminalOf(databaseUrl: string, interrupt: (callback: () => void) => void): Terminal {
  const nowhere = () => new Writable({ write: (_chunk, _encoding, done) => done() })
  return {
    environment: { DATABASE_URL: databaseUrl },
    stdin: Readable.from([]),
    stdout: nowhere(),
    stderr: nowhere(),
    onSignal(callback) {
      interrupt(() => callback('SIGINT'))
      return () => {}
    },
  }
}

test.for<[string, (callback: () => void) => void]>([
  ['before it connects', (callback) => callback()],
  ['while it connects', (callback) => void setImmediate(callback)],
])('%s', async ([, interrupt], { database }) => {
  let hasRun = false
  const interrupted = atTerminal(terminalOf(database.url, interrupt), () =>
    withDatabase(async () => {
      hasRun = true
    }),
  )
  await expect(interrupted).rejects.toBeInstanceOf(Interrupted)
  expect(hasRun).toBe(false)
})
