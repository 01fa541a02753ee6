import { describe, expect, test } from 'vitest'
import { Caller, type Connection } from '../../src/http/caller.ts'
import { UnreadConnections } from '../../src/http/unread-connections.ts'
import { bounded, get, neighbour, type Peer, polled, stranger } from '../support/bounded.ts'

/** New connections of an address at a limit wait, and cost nobody anything. */

describe.each([
  ['plain', false],
  ['TLS', true],
])('new connections of an address that has as many as it may, %s', (_name, tls) => {
  test('are read one by one, the newest first, when requests were answered or there is room', async () => {
    const { open, closed, connections } = await bounded(
      { connectionsPerAddress: 2, unreadMilliseconds: 60_000 },
      tls,
    )
    const [first, second] = [await open(stranger), await open(stranger)]
    // The first beyond the limit is read at once.
    const third = await open(stranger)
    await expect.poll(first.isOpen, polled).toBe(false)
    const waiting: Peer[] = []
    for (const path of ['/now/4', '/now/5', '/now/6']) {
      const peer = await open(stranger)
      peer.send(get(path))
      waiting.push(peer)
    }
    const other = await open(neighbour)
    other.send(get('/now/other'))
    await expect.poll(other.received, polled).toContain('/now/other')
    expect(waiting.map(({ received }) => received())).toEqual(['', '', ''])
    expect(closed).toEqual([`idle ${stranger}`, ...Array(3).fill(`unread ${stranger}`)])
    // Its peer leaves, so there is room for the newest, and its answer lets the next one in.
    third.socket.destroy()
    for (const [index, peer] of waiting.toReversed().entries())
      await expect.poll(peer.received, polled).toContain(`/now/${6 - index}`)
    await expect.poll(second.isOpen, polled).toBe(false)
    expect(connections.size).toBe(3)
  })

  test('are closed for others where the process has no room', async () => {
    const { open, closed } = await bounded(
      { connectionsPerAddress: 1, connections: 3, unreadMilliseconds: 60_000 },
      tls,
    )
    const first = await open(stranger)
    const second = await open(stranger)
    await expect.poll(first.isOpen, polled).toBe(false)
    const [oldest, newest] = [await open(stranger), await open(stranger)]
    const other = await open(neighbour)
    other.send(get('/now/other'))
    await expect.poll(other.received, polled).toContain('/now/other')
    await expect.poll(oldest.isOpen, polled).toBe(false)
    expect([second.isOpen(), newest.isOpen()]).toEqual([true, true])
    expect(closed.slice(1).toSorted()).toEqual([
      `new ${stranger}`,
      `unread ${stranger}`,
      `unread ${stranger}`,
    ])
  })
})

test('one that is unread for too long is closed: its peer may have gone', async () => {
  let now = 0
  const unread = new UnreadConnections({
    intervalMilliseconds: 1,
    keptMilliseconds: 1_000,
    monotonicMilliseconds: () => now,
  })
  const caller = new Caller(stranger, false)
  const seen: string[] = []
  const connectionOf = (name: string): Connection => {
    const connection = {
      caller,
      read: () => seen.push(`${name} is read`),
      socket: {
        destroy() {
          seen.push(`${name} is closed`)
          unread.remove(connection)
        },
      },
    } as unknown as Connection
    return connection
  }
  expect(unread.readOrKeep(connectionOf('first'))).toBe(true)
  for (const name of ['second', 'third']) expect(unread.readOrKeep(connectionOf(name))).toBe(false)
  now = 999
  expect(unread.readOrKeep(connectionOf('fourth'))).toBe(false)
  now = 1_000
  await expect
    .poll(() => seen, polled)
    .toEqual(['first is read', 'second is closed', 'third is closed', 'fourth is read'])
})
