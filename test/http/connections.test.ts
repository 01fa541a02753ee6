import { describe, expect, test } from 'vitest'
import { connectionsThatFit } from '../../src/http/connection-limits.ts'
import { readLimit } from '../../src/http/open-files.ts'
import { limits } from '../../src/limits.ts'
import { bounded, get, neighbour, type Peer, polled, post, proxy, stranger } from '../support/bounded.ts'

/** Which connection is closed when there are too many, and whose turn it is. */

describe.each([
  ['plain', false],
  ['TLS', true],
])('connections of one address, %s', (_name, tls) => {
  test('beyond the limit close the longest idle one of this address', async () => {
    const { open, closed, connections } = await bounded({ connectionsPerAddress: 2 }, tls)
    const other = await open(neighbour)
    const first = await open(stranger)
    const second = await open(stranger)
    first.send(get('/now/1'))
    await expect.poll(first.received, polled).toContain('/now/1')
    const third = await open(stranger)
    await expect.poll(second.isOpen, polled).toBe(false)
    expect([first.isOpen(), third.isOpen(), other.isOpen()]).toEqual([true, true, true])
    expect(closed).toEqual([`idle ${stranger}`])
    expect(connections.size).toBe(3)
    third.send(get('/now/3'))
    await expect.poll(third.received, polled).toContain('/now/3')
  })
})

test('at the limit of the process the longest idle connection of all is closed', async () => {
  const { open, closed } = await bounded({ connections: 3 })
  const first = await open(neighbour)
  await open(stranger)
  await open(stranger)
  await open(stranger)
  await expect.poll(first.isOpen, polled).toBe(false)
  await open(neighbour)
  expect(closed).toEqual([`idle ${neighbour}`, `idle ${stranger}`])
})

test('a connection whose request is being answered is not closed for another one', async () => {
  const { open, closed, underWay } = await bounded({ connectionsPerAddress: 1 })
  const busy = await open(stranger)
  busy.send(get('/later'))
  await expect.poll(() => underWay.size, polled).toBe(1)
  const refused = await open(stranger)
  await expect.poll(refused.isOpen, polled).toBe(false)
  expect(closed).toEqual([`new ${stranger}`])
  underWay.get('/later')?.end('late')
  await expect.poll(busy.received, polled).toContain('late')
})

test('a connection whose peer does not read its answer is closed for another one', async () => {
  const { open, closed, underWay } = await bounded({ connectionsPerAddress: 1 })
  const deaf = await open(stranger)
  deaf.socket.pause()
  deaf.send(get('/later'))
  await expect.poll(() => underWay.size, polled).toBe(1)
  underWay.get('/later')?.end(Buffer.alloc(64 * 1024 * 1024))
  const next = await open(stranger)
  next.send(get('/now'))
  await expect.poll(next.received, polled).toContain('/now')
  expect(closed).toEqual([`unreadAnswer ${stranger}`])
})

test('the limits of an address do not hold for a trusted proxy', async () => {
  const { open, closed, underWay } = await bounded({ connectionsPerAddress: 1, requestsPerAddress: 1 })
  const peers = [await open(proxy), await open(proxy), await open(proxy)]
  for (const [index, peer] of peers.entries()) peer.send(get(`/later/${index}`))
  await expect.poll(() => underWay.size, polled).toBe(3)
  expect(closed).toEqual([])
})

describe('requests', () => {
  test('of one connection are answered one after the other', async () => {
    const { open, underWay } = await bounded({})
    const peer = await open(stranger)
    peer.send(get('/1') + get('/2') + get('/3'))
    for (const path of ['/1', '/2', '/3']) {
      await expect.poll(() => [...underWay.keys()], polled).toEqual([path])
      underWay.get(path)?.end(path)
      underWay.delete(path)
    }
    await expect.poll(peer.received, polled).toContain('/3')
  })

  test('behind one that is being answered, more than may wait, close their connection', async () => {
    const { open, underWay, closed } = await bounded({ pipelined: 1_000, pipelinedPerAddress: 1_000 })
    const peer = await open(stranger)
    // A chunk of 64 KiB has more of these than may wait.
    peer.send(get('/first') + get('/now').repeat(20_000))
    await expect.poll(peer.isOpen, polled).toBe(false)
    expect(underWay.size).toBe(1)
    expect(closed).toEqual([`pipelined ${stranger}`])
  })

  test.each([
    ['plain', false],
    ['TLS', true],
  ])('behind one that is being answered are not read beyond what has arrived, %s', async (_name, tls) => {
    const { open, underWay, closed } = await bounded({ pipelined: 200, pipelinedPerAddress: 200 }, tls)
    const patient = await open(stranger)
    const other = await open(neighbour)
    const long = `GET /now HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'x'.repeat(1_000)}\r\n\r\n`
    patient.send(get('/first') + long.repeat(3_000))
    await expect.poll(() => underWay.size, polled).toBe(1)
    // In this time the server would have read all of it.
    for (let turn = 0; turn < 50; turn += 1) {
      other.send(get(`/now/${turn}.`))
      await expect.poll(other.received, polled).toContain(`/now/${turn}.`)
    }
    expect(closed).toEqual([])
    underWay.get('/first')?.end()
    const answers = () => patient.received().split('HTTP/1.1 200').length - 1
    await expect.poll(answers, polled).toBe(3_001)
  })

  test('of one address wait for their turn, those of others do not, and a health check does not', async () => {
    const { open, underWay } = await bounded({ requestsPerAddress: 2 })
    const peers = [await open(stranger), await open(stranger), await open(stranger), await open(stranger)]
    for (const [index, peer] of peers.slice(0, 3).entries()) {
      peer.send(get(`/${index}`))
      if (index < 2) await expect.poll(() => underWay.has(`/${index}`), polled).toBe(true)
    }
    const other = await open(neighbour)
    other.send(get('/now/other'))
    await expect.poll(other.received, polled).toContain('/now/other')
    peers[3]?.send(get('/now/urgent'))
    await expect.poll(() => peers[3]?.received(), polled).toContain('/now/urgent')
    expect([...underWay.keys()]).toEqual(['/0', '/1'])
    underWay.get('/0')?.end()
    await expect.poll(() => [...underWay.keys()], polled).toEqual(['/0', '/1', '/2'])
  })

  test('in the line of an address that gives up make room for the next', async () => {
    const { open, underWay, connections } = await bounded({ requestsPerAddress: 1 })
    const [first, second, third] = [await open(stranger), await open(stranger), await open(stranger)]
    first.send(get('/first'))
    await expect.poll(() => underWay.size, polled).toBe(1)
    second.send(get('/second'))
    third.send(get('/third'))
    second.socket.destroy()
    await expect.poll(() => connections.size, polled).toBe(2)
    first.socket.destroy()
    await expect.poll(() => [...underWay.keys()], polled).toEqual(['/first', '/third'])
  })
})

describe('unfinished bodies', () => {
  test('beyond the limit of an address close the one that has been missing longest', async () => {
    const { open, closed, underWay } = await bounded({ bodiesPerAddress: 2 })
    const peers: Peer[] = []
    for (const path of ['/a', '/b', '/c']) {
      const peer = await open(stranger)
      peer.send(post(path, 10))
      await expect.poll(() => underWay.has(path), polled).toBe(true)
      peers.push(peer)
    }
    await expect.poll(() => peers.map((peer) => peer.isOpen()), polled).toEqual([false, true, true])
    expect(closed).toEqual([`unfinishedBody ${stranger}`])
    peers[1]?.send('0123456789')
    underWay.get('/b')?.end('got b')
    await expect.poll(() => peers[1]?.received(), polled).toContain('got b')
  })

  describe.each([
    ['plain', false],
    ['TLS', true],
  ])('at the limit of an address, %s,', (_name, tls) => {
    test('leave its new connections unread; the newest is read when the one before has had its answer', async () => {
      const { open, closed, underWay } = await bounded(
        { bodiesPerAddress: 1, unreadMilliseconds: 60_000 },
        tls,
      )
      const paths = () => [...underWay.keys()]
      const early = await open(stranger)
      const second = await open(stranger)
      second.send(post('/a', 10))
      await expect.poll(paths, polled).toEqual(['/a'])
      const unread: Peer[] = []
      for (const path of ['/b', '/c', '/d']) {
        const peer = await open(stranger)
        peer.send(post(path, 10))
        unread.push(peer)
      }
      // The first of them is read at once.
      await expect.poll(paths, polled).toEqual(['/a', '/b'])
      const other = await open(neighbour)
      other.send(post('/other', 10))
      await expect.poll(paths, polled).toEqual(['/a', '/b', '/other'])
      // Whole requests of another connection let none in, however many they are.
      early.send(get('/now/1').repeat(50) + get('/now/last'))
      await expect.poll(early.received, polled).toContain('/now/last')
      expect(paths()).toEqual(['/a', '/b', '/other'])
      for (const [index, path] of ['/b', '/d', '/c'].entries()) {
        const peer = unread[['/b', '/c', '/d'].indexOf(path)] as Peer
        peer.send('0123456789')
        underWay.get(path)?.end(`got ${path}`)
        await expect.poll(peer.received, polled).toContain(`got ${path}`)
        await expect.poll(paths, polled).toEqual(['/a', '/b', '/other', '/d', '/c'].slice(0, 4 + index))
      }
      expect(closed).toEqual([`unfinishedBody ${stranger}`])
    })

    test('are read after a while, also if nothing else comes', async () => {
      const { open, closed, underWay } = await bounded({ bodiesPerAddress: 1, unreadMilliseconds: 1 }, tls)
      const peers = await Promise.all(Array.from({ length: 20 }, () => open(stranger)))
      for (const [index, peer] of peers.entries()) peer.send(post(`/early/${index}`, 10))
      await expect.poll(() => underWay.size, polled).toBe(20)
      const late = await Promise.all(Array.from({ length: 20 }, () => open(stranger)))
      for (const [index, peer] of late.entries()) peer.send(post(`/late/${index}`, 10))
      await expect.poll(() => underWay.size, polled).toBe(40)
      expect(closed).toEqual(Array(39).fill(`unfinishedBody ${stranger}`))
    })

    test('leave nothing behind of those that are closed before they are read', async () => {
      const { open, connections, underWay, server, unread } = await bounded(
        { bodiesPerAddress: 1, unreadMilliseconds: 60_000, connectionsPerAddress: 4 },
        tls,
      )
      for (const path of ['/a', '/b']) {
        const peer = await open(stranger)
        peer.send(post(path, 10))
        await expect.poll(() => underWay.has(path), polled).toBe(true)
      }
      const first = await open(stranger)
      const others = [await open(stranger), await open(stranger), await open(stranger)]
      // One too many: the oldest that is idle is closed for it.
      await expect.poll(first.isOpen, polled).toBe(false)
      expect(connections.size).toBe(4)
      const closing = new Promise((resolve) => server.close(resolve))
      unread.close()
      for (const peer of others) await expect.poll(peer.isOpen, polled).toBe(false)
      server.closeAllConnections()
      await closing
      await expect.poll(() => connections.size, polled).toBe(0)
    })
  })

  test('take no place from requests that are complete', async () => {
    const { open, underWay } = await bounded({ requestsPerAddress: 1 })
    const slow = await open(stranger)
    slow.send(post('/slow', 10))
    await expect.poll(() => underWay.size, polled).toBe(1)
    const fast = await open(stranger)
    fast.send(get('/now/fast'))
    await expect.poll(fast.received, polled).toContain('/now/fast')
  })

  test('that arrive with their headers do not count', async () => {
    const { open, closed } = await bounded({ bodies: 1, bodiesPerAddress: 1, requestsPerAddress: 1 })
    const peers = await Promise.all(Array.from({ length: 5 }, () => open(stranger)))
    for (const peer of peers) peer.send(`${post('/now', 10)}0123456789`)
    for (const peer of peers) await expect.poll(peer.received, polled).toContain('/now')
    expect(closed).toEqual([])
  })
})

describe('open files', () => {
  test('limit the connections', () => {
    expect(connectionsThatFit(Number.POSITIVE_INFINITY)).toBe(limits.connectionsMax)
    expect(connectionsThatFit(1_024)).toBe(1_024 - limits.openFilesReserved)
    expect(connectionsThatFit(10)).toBe(1)
  })

  test.each([
    ['Max open files            1024                 524288               files     ', 1_024],
    ['Max open files            unlimited            unlimited            files', Number.POSITIVE_INFINITY],
    ['Max cpu time              unlimited            unlimited            seconds', Number.POSITIVE_INFINITY],
  ])('are read from %j', (line, max) => {
    expect(
      readLimit(`Limit                     Soft Limit           Hard Limit           Units     \n${line}\n`),
    ).toBe(max)
  })
})
