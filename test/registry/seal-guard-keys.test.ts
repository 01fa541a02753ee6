/** With which keys a process opens the head of a sealed registry, before and after a rewrap. */
import { describe, expect, test } from 'vitest'
import { type KeyEncryptionKey, keyEncryptionKey } from '../../src/keys/seal.ts'
import { toClient } from '../../src/registry/store.ts'
import { clientRow, guarding, key, SealedRows, sealedClient } from '../support/sealed-rows.ts'

const otherKey = keyEncryptionKey(Buffer.alloc(32, 2))

describe('the key of the head', () => {
  /** The same registry, with its head under another key after a rewrap. */
  function rewrapped() {
    const row = clientRow('billing')
    const [old, now] = [key, otherKey].map((each) => new SealedRows(each).register(sealedClient(row)))
    const rows = old as SealedRows
    rows.clients = [row]
    return { rows, row, sealed: (now as SealedRows).seal }
  }

  test.each(['clients', 'trust'] as const)(
    'is asked for when a rewrap made it another one: %s',
    async (what) => {
      const { rows, row, sealed } = rewrapped()
      let asked = 0
      let keys: [KeyEncryptionKey] = [key]
      const { readClients, readTrust, wrong } = await guarding(rows, async () => {
        asked += 1
        return keys
      })
      await readClients('billing')
      await readTrust()
      expect(asked, 'it is at hand').toBe(1)
      keys = [otherKey]
      rows.putBack(sealed)
      if (what === 'trust') await readTrust()
      expect((await readClients('billing')).clients).toEqual([toClient(row)])
      expect([asked, wrong()]).toEqual([2, []])
    },
  )

  test('is at hand when it is one of several', async () => {
    const { rows } = rewrapped()
    let asked = 0
    const { readClients } = await guarding(rows, async () => {
      asked += 1
      return [otherKey, key]
    })
    await readClients('billing')
    expect(asked).toBe(1)
  })

  test('is not asked for where there is no head', async () => {
    let asked = 0
    const { readClients } = await guarding(new SealedRows(), async () => {
      asked += 1
      return [key]
    })
    await readClients()
    expect(asked).toBe(1)
  })

  test('that cannot be asked for now is told, and the keys at hand stay', async () => {
    const { rows, row, sealed } = rewrapped()
    let isFailing = false
    const { readClients, wrong } = await guarding(rows, async () => {
      if (isFailing) throw new Error('the file is gone')
      return [key]
    })
    const right = rows.seal
    isFailing = true
    rows.putBack(sealed)
    expect((await readClients('billing')).clients[0]?.status).toBe('unsealed')
    expect(wrong()).toEqual(['registry : registry_seal_key_differs'])
    rows.putBack(right)
    expect((await readClients('billing')).clients).toEqual([toClient(row)])
  })
})
