/** The head of the sealed registry: only a holder of the key-encryption key makes one, and a process never goes back. */
import { describe, expect, test } from 'vitest'
import { keyEncryptionKey } from '../../src/keys/seal.ts'
import { sealText } from '../../src/keys/sealed-text.ts'
import {
  openHead,
  reviewedNumber,
  type SealHead,
  SealMemory,
  sealHead,
} from '../../src/registry/seal-head.ts'

const key = keyEncryptionKey(Buffer.alloc(32, 1))
const otherKey = keyEncryptionKey(Buffer.alloc(32, 2))

describe('a head in the database', () => {
  const head: SealHead = { number: 1_000_003, chainBefore: 7, reviewed: 1_000_000, root: 'root' }

  test.each<SealHead>([head, { ...head, root: undefined }])('is read as it was written: %j', (written) => {
    expect(openHead(sealHead(key, written), [key])).toEqual(written)
    expect(openHead(sealHead(key, written), [otherKey, key])).toEqual(written)
  })

  test('has the form that earlier releases read', () => {
    const { keyEncryptionKeyId, content, mac } = sealHead(key, head)
    expect([keyEncryptionKeyId, content]).toEqual([key.id, '[1,1000003,7,1000000,"root"]'])
    expect(mac.toString('hex')).toBe('0ac3583a78938da403066e701fa1ba9f6b50413cc4c4ad04585e014f7132f094')
  })

  const sealed = sealHead(key, head)
  test.each([
    ['another number', { ...sealed, content: sealed.content.replace('1000003', '1000004') }],
    ['another root', { ...sealed, content: sealed.content.replace('root', 'roof') }],
    ['a MAC that is cut', { ...sealed, mac: sealed.mac.subarray(1) }],
    ['a text that was sealed for another purpose', sealText(key, 'mintmark/key-manifest/v1', sealed.content)],
    ['a MAC of another key', { ...sealHead(otherKey, head), keyEncryptionKeyId: key.id }],
  ])('is refused with %s', (_, damaged) => {
    expect(() => openHead(damaged, [key])).toThrow(expect.objectContaining({ code: 'registry_seal_damaged' }))
  })

  test.each([[[otherKey]], [[]]])('whose key is not at hand names the keys that are: %#', (keys) => {
    expect(() => openHead(sealed, keys)).toThrow(
      expect.objectContaining({
        code: 'registry_seal_key_differs',
        fields: { keyEncryptionKeyId: key.id, atHand: keys.map(({ id }) => id) },
      }),
    )
  })
})

test.each([
  [0, 1_000_000],
  [999_999, 1_000_000],
  [1_000_000, 2_000_000],
  [3_400_017, 4_000_000],
])('a review after number %i has the number %i', (latest, number) => {
  expect(reviewedNumber(latest)).toBe(number)
})

describe('the number of a head', () => {
  const head = (number: number, root = `root ${number}`, reviewed = 0) => ({
    number,
    chainBefore: 0,
    reviewed,
    root,
  })
  const older = (number: number, recorded: number) =>
    expect.objectContaining({ code: 'registry_seal_older', fields: { number, recorded } })

  test('never goes back, and never has two roots', () => {
    const memory = new SealMemory()
    memory.believe(head(5))
    memory.believe(head(7))
    expect(() => memory.believe(head(6))).toThrow(older(6, 7))
    expect(() => memory.believe(head(7, 'other'))).toThrow(older(7, 7))
    expect(() => memory.missing()).toThrow(older(0, 7))
    expect(memory.latest?.number).toBe(7)
  })

  test('is not missed where there never was one', () => {
    const memory = new SealMemory()
    memory.missing()
    expect(memory.latest).toBeUndefined()
    expect(memory.believe(head(1)).number).toBe(1)
  })

  test('once it went back, only the same head or a review is believed', () => {
    const memory = new SealMemory()
    memory.believe(head(7))
    expect(() => memory.believe(head(6))).toThrow(older(6, 7))
    // The next changes on what was put back.
    expect(() => memory.believe(head(8))).toThrow(older(8, 7))
    expect(() => memory.believe(head(9, 'root', 7))).toThrow(older(9, 7))
    expect(memory.believe(head(7)).number).toBe(7)
    expect(memory.believe(head(8)).number).toBe(8)
    expect(() => memory.believe(head(1))).toThrow(older(1, 8))
    expect(memory.believe(head(1_000_001, 'root', 1_000_000)).number).toBe(1_000_001)
  })

  test('once it was missing, it is the same', () => {
    const memory = new SealMemory()
    memory.believe(head(7))
    expect(() => memory.missing()).toThrow(older(0, 7))
    expect(() => memory.believe(head(8))).toThrow(older(8, 7))
    expect(memory.believe(head(7)).number).toBe(7)
    expect(memory.believe(head(8)).number).toBe(8)
  })
})
