import { expect, test } from 'vitest'
import type { ConnectionLimits } from '../../src/http/connection-limits.ts'
import { bounded, neighbour, polled, post, stranger } from '../support/bounded.ts'

/** A body that comes after its headers takes its request to the end of the line of its address. */

/** The service asks whose turn it is when it has the body. */
async function asking(changed: Partial<ConnectionLimits>) {
  const turns: string[] = []
  const all = await bounded(changed, false, (request, response, { connections, underWay }) => {
    const { url = '' } = request
    request.resume().on('end', async () => {
      try {
        await connections.turnOf(request)
        turns.push(url)
        underWay.set(url, response)
      } catch (error) {
        turns.push(`${url} ${(error as Error).message}`)
      }
    })
  })
  return { ...all, turns }
}

test('gives its request a place in the line of its address, and no more', async () => {
  const { open, underWay, turns } = await asking({ requestsPerAddress: 2 })
  const peers = await Promise.all(Array.from({ length: 5 }, () => open(stranger)))
  for (const [index, peer] of peers.entries()) peer.send(`${post(`/${index}`, 10)}01234`)
  const other = await open(neighbour)
  // What is read now was begun before.
  for (const peer of peers) {
    peer.send('56789')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  other.send(`${post('/other', 1)}x`)
  await expect.poll(() => turns, polled).toEqual(['/0', '/1', '/other'])
  underWay.get('/0')?.end()
  await expect.poll(() => turns, polled).toEqual(['/0', '/1', '/other', '/2'])
  peers[3]?.socket.destroy()
  await expect.poll(() => turns, polled).toContain('/3 overloaded')
  underWay.get('/1')?.end()
  await expect.poll(() => turns.at(-1), polled).toBe('/4')
})

test('that comes with the headers, from many at once, waits as well', async () => {
  const { open, turns } = await asking({ requestsPerAddress: 2 })
  const peers = await Promise.all(Array.from({ length: 20 }, () => open(stranger)))
  for (const peer of peers) peer.send(`${post('/a', 10)}0123456789`)
  await expect.poll(() => turns.length, polled).toBe(2)
  const other = await open(neighbour)
  other.send(`${post('/other', 1)}x`)
  await expect.poll(() => turns, polled).toEqual(['/a', '/a', '/other'])
})
