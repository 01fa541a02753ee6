/** Keys that are derived from the key-encryption keys: each once, and never forgotten. */
import { createSecretKey, type KeyObject } from 'node:crypto'
import { expect, test } from 'vitest'
import { DerivedKeys } from '../../src/keys/derived-keys.ts'
import type { KeyEncryptionKeys } from '../../src/keys/key-encryption-key.ts'
import { type KeyEncryptionKey, keyEncryptionKey } from '../../src/keys/seal.ts'

const first = keyEncryptionKey(Buffer.alloc(32, 1))
const second = keyEncryptionKey(Buffer.alloc(32, 2))

/** Derived keys, and what was asked for. */
function derivedFrom(given: KeyEncryptionKeys, sealedWith?: KeyEncryptionKey) {
  const state = {
    given: async (): Promise<KeyEncryptionKeys> => given,
    sealedWith: sealedWith?.id,
    asked: 0,
    derived: [] as string[],
    faults: [] as unknown[],
  }
  const keys = new DerivedKeys(
    {
      keyEncryptionKeys: async () => {
        state.asked += 1
        return await state.given()
      },
      sealingKeyId: () => state.sealedWith,
      onFault: (error) => state.faults.push(error),
    },
    ({ id, bytes }): KeyObject => {
      state.derived.push(id)
      return createSecretKey(bytes)
    },
  )
  return { keys, state }
}

test('nothing is derived before it is asked for', () => {
  const { keys } = derivedFrom([first], first)
  expect([...keys.all]).toEqual([])
  expect(keys.get(first.id)).toBeUndefined()
  expect(keys.newest).toBeUndefined()
})

test('each key is derived once, and one that was replaced stays known', async () => {
  const { keys, state } = derivedFrom([first])
  await keys.load()
  state.given = async () => [second, first]
  await keys.load()
  state.given = async () => [second]
  await keys.load()
  expect(state.derived).toEqual([first.id, second.id])
  expect([...keys.all]).toEqual([keys.get(first.id), keys.get(second.id)])
  expect(keys.get(first.id)?.export()).toEqual(first.bytes)
})

test('the newest is the one that seals the newest signing key, which every replica has', async () => {
  const { keys, state } = derivedFrom([second, first])
  await keys.load()
  expect(keys.newest, 'there is no signing key').toBeUndefined()
  state.sealedWith = first.id
  expect(keys.newest).toEqual({ id: first.id, key: keys.get(first.id) })
  state.sealedWith = keyEncryptionKey(Buffer.alloc(32, 3)).id
  expect(keys.newest, 'it is not at hand').toBeUndefined()
})

test('they are asked for again only when the signing keys are sealed with another one', async () => {
  const { keys, state } = derivedFrom([first])
  await keys.follow()
  expect(state.asked).toBe(0)
  state.sealedWith = first.id
  await keys.follow()
  await keys.follow()
  expect(state.asked).toBe(1)
  state.sealedWith = second.id
  state.given = async () => [second, first]
  await keys.follow()
  expect([state.asked, keys.newest?.id]).toEqual([2, second.id])
})

test('those who ask at the same time wait for one answer', async () => {
  const { keys, state } = derivedFrom([first])
  await Promise.all([keys.load(), keys.load()])
  expect([state.asked, [...keys.all].length]).toEqual([1, 1])
})

test('a fault is told, those in memory stay in use, and the next attempt may succeed', async () => {
  const { keys, state } = derivedFrom([first], first)
  await keys.load()
  const fault = new Error('the file cannot be read')
  state.given = async () => {
    throw fault
  }
  state.sealedWith = second.id
  await keys.follow()
  expect(state.faults).toEqual([fault])
  expect(keys.get(first.id)).toBeDefined()
  state.given = async () => [second]
  await keys.follow()
  expect(keys.newest?.id).toBe(second.id)
})
