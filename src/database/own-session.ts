import type pg from 'pg'
import { OperatorError } from '../errors.ts'
import { isDirect } from './session.ts'

/** Pairs of questions. In a pooler without other traffic the first pair shows it. */
const roundsMax = 20

const answerMillisecondsMax = 3_000

/**
 * Checks that a client keeps one session of the database for itself. A migration needs one: its lock and its
 * settings belong to the session. Through a pooler in transaction mode they would stay behind in a session of
 * others, and a later migration would wait for that lock.
 * @param withOther connects another client to the same URL.
 * @throws OperatorError if other clients use the same session.
 */
export async function requireOwnSession(
  client: pg.ClientBase,
  withOther: <Result>(use: (other: pg.ClientBase) => Promise<Result>) => Promise<Result>,
): Promise<void> {
  const { rows } = await client.query(`SELECT ${isDirect(client)} AS direct`)
  if (rows[0].direct) return
  const isShared = await withOther(async (other) => {
    await requireAnswer(other)
    const first = await processOf(client)
    for (let round = 0; round < roundsMax; round += 1) {
      if ((await processOf(other)) === first || (await processOf(client)) !== first) return true
    }
    return false
  })
  if (!isShared) return
  throw refusal('that gives each transaction another session')
}

/** Without a limit it would wait for a free session until another client ends its own. */
async function requireAnswer(other: pg.ClientBase): Promise<void> {
  try {
    await other.query({ text: 'SELECT 1', query_timeout: answerMillisecondsMax } as pg.QueryConfig)
  } catch (cause) {
    throw refusal('that had no second session within 3 seconds', cause)
  }
}

function refusal(which: string, cause?: unknown): OperatorError {
  return new OperatorError(
    `DATABASE_URL: it leads to a connection pooler ${which}, and a migration needs one session of its own. Set the ` +
      'URL of the database server itself for "migrate". "serve" can use the pooler.',
    { cause },
  )
}

/** The number of the process of the database server that answers. */
async function processOf(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
  return rows[0].pid
}
