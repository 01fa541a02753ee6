import { expect, test } from 'vitest'
import { NotedUses } from '../../src/authentication/secret-use-store.ts'
import { limits } from '../../src/limits.ts'

const use = (address: string, userAgent: string | undefined, time = 1_000) => ({ address, userAgent, time })

test('uses are counted by secret, address and user agent', () => {
  const noted = new NotedUses()
  noted.add('b', use('192.0.2.1', 'curl/8', 1_000))
  noted.add('a', use('192.0.2.1', 'curl/8', 3_000))
  noted.add('a', use('192.0.2.1', 'curl/8', 2_000))
  noted.add('a', use('192.0.2.1', undefined, 1_000))
  expect(noted.rows()).toEqual([
    { secretId: 'a', address: '192.0.2.1', userAgent: '', count: 1, time: 1_000 },
    { secretId: 'a', address: '192.0.2.1', userAgent: 'curl/8', count: 2, time: 3_000 },
    { secretId: 'b', address: '192.0.2.1', userAgent: 'curl/8', count: 1, time: 1_000 },
  ])
})

test('callers beyond the bound are counted together, and none is lost', () => {
  const noted = new NotedUses()
  const most = limits.callersPerSecretMax
  for (let round = 0; round < 2; round += 1) {
    for (let host = 0; host < most + 30; host += 1) noted.add('a', use(`192.0.2.${host}`, 'curl', host))
  }
  const rows = noted.rows()
  expect(rows).toHaveLength(most + 1)
  expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(2 * (most + 30))
  expect(rows.find(({ address }) => address === '')).toMatchObject({ count: 60, time: most + 29 })
})

test('a user agent is cut, and has no character that a terminal obeys', () => {
  const noted = new NotedUses()
  noted.add('a', use('192.0.2.1', `\u202eevil\u001b[31m${'x'.repeat(10_000)}`))
  const [row] = noted.rows()
  expect(row?.userAgent).toMatch(/^\ufffdevil\ufffd\[31mx+$/)
  expect(row?.userAgent).toHaveLength(limits.callerUserAgentCharactersMax)
})

test('what could not be written is noted again', () => {
  const [first, again] = [new NotedUses(), new NotedUses()]
  first.add('a', use('192.0.2.1', 'curl', 5_000))
  again.add('a', use('192.0.2.1', 'curl', 4_000))
  for (const row of first.rows()) again.addRow(row)
  expect(again.rows()).toEqual([
    { secretId: 'a', address: '192.0.2.1', userAgent: 'curl', count: 2, time: 5_000 },
  ])
})
