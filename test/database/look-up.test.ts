/** A lost answer of a name server does not keep connections to the database waiting. */
import { expect, test } from 'vitest'
import { DatabaseClient } from '../../src/database/client.ts'
import { DatabaseHosts } from '../../src/database/hosts.ts'
import { rememberingLookUp } from '../../src/database/look-up.ts'
import { freshDatabase } from '../support/database.ts'
import { FaultyProxy } from '../support/proxy.ts'

/** A name server that answers when the test says so. */
function nameServer() {
  const questions: ((answer: string | NodeJS.ErrnoException) => void)[] = []
  const lookUp = rememberingLookUp((_name, _options, done) => {
    questions.push((answer) => (typeof answer === 'string' ? done(null, answer, 4) : done(answer, [])))
  })
  const find = (): Promise<unknown> =>
    new Promise((resolve) => lookUp('db', {}, (error, address) => resolve(error?.code ?? address)))
  return { questions, find }
}

const failure = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code })

test('as long as nothing is known, each asks for itself', async () => {
  const { questions, find } = nameServer()
  void find()
  const second = find()
  questions[1]?.('10.0.0.1')
  expect(await second).toBe('10.0.0.1')
})

test('if an answer is late, the address from before is used, and nobody asks once more', async () => {
  const { questions, find } = nameServer()
  const first = find()
  questions[0]?.('10.0.0.1')
  expect(await first).toBe('10.0.0.1')
  expect(await Promise.all([find(), find()])).toEqual(['10.0.0.1', '10.0.0.1'])
  expect(await find()).toBe('10.0.0.1')
  expect(questions).toHaveLength(2)
  questions[1]?.('10.0.0.2')
  await new Promise((resolve) => setImmediate(resolve))
  const next = find()
  questions[2]?.('10.0.0.3')
  expect(await next).toBe('10.0.0.3')
})

test('a name server that is away leaves the address from before; a name that is gone is gone', async () => {
  const { questions, find } = nameServer()
  const refused = find()
  questions[0]?.(failure('EAI_AGAIN'))
  expect(await refused).toBe('EAI_AGAIN')
  const first = find()
  questions[1]?.('10.0.0.1')
  await first
  const away = find()
  questions[2]?.(failure('EAI_AGAIN'))
  expect(await away).toBe('10.0.0.1')
  const gone = find()
  questions[3]?.(failure('ENOTFOUND'))
  expect(await gone).toBe('ENOTFOUND')
})

test('a connection finds its host by name', async ({ onTestFinished }) => {
  const database = await freshDatabase()
  const proxy = new FaultyProxy(database.url)
  onTestFinished(async () => {
    await proxy.close()
    await database.drop()
  })
  const url = new URL(await proxy.listen())
  url.hostname = 'localhost'
  const client = new DatabaseClient({ hosts: new DatabaseHosts(url.href) })
  await client.connect()
  expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  await client.end()
})
