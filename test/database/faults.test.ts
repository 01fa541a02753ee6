/** That the database is away is recognised however deep in an error it stands, and nothing else is taken for it. */
import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { checkConnection } from '../../src/database/check.ts'
import { databaseFault, isDatabaseAway } from '../../src/database/faults.ts'

const coded = (code: string, message = 'it failed') => Object.assign(new Error(message), { code })

/** As Prisma hands on what its adapter threw. */
const wrapped = (originalCode: string, originalMessage: string) =>
  Object.assign(new Error(`\nInvalid \`prisma.client.findMany()\` invocation:\n\n\n${originalMessage}`), {
    code: 'P2039',
    meta: {
      driverAdapterError: Object.assign(new Error(originalMessage), {
        name: 'DriverAdapterError',
        cause: { originalCode, originalMessage, kind: 'postgres' },
      }),
    },
  })

describe('away', () => {
  test.each([
    ['a refused connection', coded('ECONNREFUSED')],
    ['a socket that is gone', coded('ENOENT', 'connect ENOENT /run/.s.PGSQL.5432')],
    [
      'a connection for which no file can be opened',
      coded('EMFILE', 'connect EMFILE 127.0.0.1:5432 - Local'),
    ],
    ['several addresses that refuse', new AggregateError([coded('ECONNREFUSED')])],
    ['a shutdown', coded('57P01')],
    ['a start under way', wrapped('57P03', 'the database system is starting up')],
    ['too many connections', wrapped('53300', 'sorry, too many clients already')],
    ['a lost connection, as Prisma says it', coded('P1017')],
    [
      'a connection lost in the middle of SQL, as Prisma says it',
      Object.assign(
        new Error('Raw query failed. Code: `N/A`. Message: `Server has closed the connection.`'),
        {
          code: 'P2010',
        },
      ),
    ],
    ['no connection free', coded('P2024')],
    ['a lost connection without a code', new Error('Connection terminated unexpectedly')],
    ['a cause within a cause', new Error('outer', { cause: new Error('inner', { cause: coded('08006') }) })],
  ])('%s', (_title, error) => {
    expect(isDatabaseAway(error)).toBe(true)
  })
})

test('a connection that was given up is told as such, and not as one that the database ended', () => {
  const ended = new Error('Connection terminated unexpectedly')
  const message = 'Connection terminated due to connection timeout'
  expect(databaseFault(new Error(message, { cause: ended }))).toEqual({ code: '', message, isAbsence: true })
})

test('what else may go wrong with a database is a fault, and no absence', () => {
  expect(databaseFault(wrapped('42501', 'permission denied for table client'))).toEqual({
    code: '42501',
    message: 'permission denied for table client',
    isAbsence: false,
  })
  for (const code of ['53100', '25006', '55P03']) {
    expect(databaseFault(coded(code))).toMatchObject({ code, isAbsence: false })
  }
})

test.each([
  ['a file that is missing', coded('ENOENT', "ENOENT: no such file or directory, open 'x'")],
  ['a mistake in our SQL', wrapped('42601', 'syntax error at or near "FORM"')],
  ['a constraint', wrapped('23505', 'duplicate key value')],
  ['a bug', new TypeError('x is not a function')],
  ['nothing', undefined],
])('%s is not about the database', (_title, error) => {
  expect(databaseFault(error)).toBeUndefined()
})

test('a server without the TLS that the URL asks for is refused at once', async () => {
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    // PostgreSQL's answer to a request for TLS that it does not have.
    socket.on('error', () => {}).once('data', () => socket.end('N'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const { port } = server.address() as { port: number }
    await expect(checkConnection(`postgresql://a@127.0.0.1:${port}/m?sslmode=require`)).rejects.toThrow(
      /does not support SSL/,
    )
    expect(connections).toBe(1)
  } finally {
    server.close()
  }
})
