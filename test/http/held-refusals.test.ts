import { describe, expect, test } from 'vitest'
import { bounded, get, neighbour, type Peer, polled, proxy, stranger } from '../support/bounded.ts'

/** Somebody who goes on guessing over a limit waits for each refusal, and takes nothing from others meanwhile. */

describe('refusals over a limit', () => {
  /** As many as are sent at once, on connections of their own, each of which goes on. */
  const refuseAtOnce = async (open: (address: string) => Promise<Peer>, count: number): Promise<void> => {
    for (let index = 0; index < count; index += 1) {
      const peer = await open(stranger)
      peer.send(get(`/refused/early/${index}`))
      await expect.poll(peer.received, polled).toContain(`/refused/early/${index}`)
    }
  }

  test.each([
    ['plain', false],
    ['TLS', true],
  ])('are held back after the first ones of a second, and delay nobody else, %s', async (_name, tls) => {
    const all = await bounded({ requestsPerAddress: 1, refusalsAtOncePerAddress: 2 }, tls)
    const { open, held } = all
    await refuseAtOnce(open, 2)
    const guesser = await open(stranger)
    guesser.send(get('/refused/3') + get('/now/behind'))
    await expect.poll(() => held.length, polled).toBe(1)
    // It takes no place of its address, which has one.
    const neighbourly = await open(stranger)
    neighbourly.send(get('/now/same-address'))
    await expect.poll(neighbourly.received, polled).toContain('/now/same-address')
    expect(guesser.received()).toBe('')
    held[0]?.()
    await expect.poll(guesser.received, polled).toContain('/now/behind')
    expect(guesser.received()).toContain('/refused/3')
  })

  test('are sent at once again in the next second, and to other addresses', async () => {
    const all = await bounded({ refusalsAtOncePerAddress: 1 })
    const { open, held } = all
    await refuseAtOnce(open, 1)
    all.now = 999
    const early = await open(stranger)
    early.send(get('/refused'))
    await expect.poll(() => held.length, polled).toBe(1)
    const other = await open(neighbour)
    other.send(get('/refused/other'))
    await expect.poll(other.received, polled).toContain('/refused/other')
    all.now = 1_000
    await refuseAtOnce(open, 1)
    const next = await open(stranger)
    next.send(get('/refused'))
    await expect.poll(() => held.length, polled).toBe(2)
  })

  test('are counted for an address also when it closes its connections', async () => {
    const { open, held, connections } = await bounded({ refusalsAtOncePerAddress: 2 })
    for (let count = 0; count < 2; count += 1) {
      const peer = await open(stranger)
      peer.send(get('/refused'))
      await expect.poll(peer.received, polled).toContain('/refused')
      peer.socket.destroy()
      await expect.poll(() => connections.size, polled).toBe(0)
    }
    const next = await open(stranger)
    next.send(get('/refused'))
    await expect.poll(() => held.length, polled).toBe(1)
  })

  test('are not held back from a trusted proxy, whose connections are needed for others', async () => {
    const { open, held } = await bounded({ refusalsAtOncePerAddress: 0 })
    const peer = await open(proxy)
    peer.send(get('/refused'))
    await expect.poll(peer.received, polled).toContain('/refused')
    expect(held).toEqual([])
  })

  test('that are held back give up their connection where there is no room', async () => {
    const { open, closed, held, connections } = await bounded({
      connectionsPerAddress: 2,
      refusalsAtOncePerAddress: 0,
    })
    const [first, second] = [await open(stranger), await open(stranger)]
    for (const peer of [first, second]) {
      peer.send(get('/refused'))
      await expect.poll(() => held.length, polled).toBe(peer === first ? 1 : 2)
    }
    await open(stranger)
    await expect.poll(first.isOpen, polled).toBe(false)
    expect(closed).toEqual([`heldRefusal ${stranger}`])
    for (const release of held) release()
    await expect.poll(second.received, polled).toContain('/refused')
    expect(connections.size).toBe(2)
  })
})
