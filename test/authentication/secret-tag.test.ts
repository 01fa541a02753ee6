/** A tag says whether a secret is right to those who have the key-encryption key, and nothing to anybody else. */
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  makeTag,
  type SecretTag,
  type TaggedSecret,
  tagKey,
  tagSays,
} from '../../src/authentication/secret-tag.ts'
import { SecretTags } from '../../src/authentication/secret-tags.ts'
import { type KeyEncryptionKey, keyEncryptionKey } from '../../src/keys/seal.ts'
import type { RegisteredSecret } from '../../src/registry/client.ts'

const kek = keyEncryptionKey(randomBytes(32))
const other = keyEncryptionKey(randomBytes(32))
const key = tagKey(kek)
const tagged: TaggedSecret = { clientId: 'billing', secretId: 'secret01', hash: '$argon2id$one' }
const secret = 'mm_the-secret-itself'
const tag = makeTag(key, kek.id, tagged, secret)

const flipped = (bytes: string, at: number): string =>
  bytes.slice(0, at) + String.fromCharCode(bytes.charCodeAt(at) ^ 1) + bytes.slice(at + 1)

describe('a tag', () => {
  test('knows the right secret from every wrong one', () => {
    expect(tagSays(key, tag, tagged, secret)).toBe('right')
    for (const wrong of ['', 'mm_', secret.slice(0, -1), `${secret} `, secret.toUpperCase()]) {
      expect(tagSays(key, tag, tagged, wrong), wrong).toBe('wrong')
    }
  })

  test('says nothing once any bit of it is another', () => {
    for (let at = 0; at < tag.bytes.length; at += 1) {
      const spoiled: SecretTag = { ...tag, bytes: flipped(tag.bytes, at) }
      expect(tagSays(key, spoiled, tagged, secret), `byte ${at}`).toBeUndefined()
    }
    for (const bytes of ['', tag.bytes.slice(1), `${tag.bytes}x`, 'x'.repeat(64)]) {
      expect(tagSays(key, { ...tag, bytes }, tagged, secret)).toBeUndefined()
    }
  })

  test('says nothing for another client, another secret id, or a hash that replaced the one it was made for', () => {
    expect(tagSays(key, tag, { ...tagged, clientId: 'reports' }, secret)).toBeUndefined()
    expect(tagSays(key, tag, { ...tagged, secretId: 'secret02' }, secret)).toBeUndefined()
    expect(tagSays(key, tag, { ...tagged, hash: '$argon2id$two' }, secret)).toBeUndefined()
  })

  test('says nothing under another key-encryption key', () => {
    expect(tagSays(tagKey(other), tag, tagged, secret)).toBeUndefined()
  })

  test('has frames that nothing in a name can stand in for', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 8 })
    fc.assert(
      fc.property(text, fc.nat(8), fc.nat(8), (joined, first, second) => {
        const letters = [...joined]
        const cut = (at: number): TaggedSecret => ({
          clientId: letters.slice(0, at).join(''),
          secretId: letters.slice(at).join(''),
          hash: 'h',
        })
        const made = makeTag(key, kek.id, cut(first), secret)
        expect(tagSays(key, made, cut(second), secret) === 'right').toBe(
          cut(first).clientId === cut(second).clientId,
        )
      }),
    )
  })

  test('shows neither secret nor hash, and is the same each time it is made: a copy of it tells no more', () => {
    expect(tag.bytes).toHaveLength(64)
    expect(makeTag(key, kek.id, tagged, secret)).toEqual(tag)
    expect(Buffer.from(tag.bytes, 'latin1').includes(secret)).toBe(false)
  })
})

describe('tags in a process', () => {
  /** A process that has these key-encryption keys, while the signing keys are sealed with the one named. */
  async function processWith(
    keys: readonly [KeyEncryptionKey, ...KeyEncryptionKey[]],
    sealedWith: KeyEncryptionKey,
  ) {
    const state = { keys, sealedWith }
    const kept: { tagged: TaggedSecret; tag: SecretTag }[] = []
    const tags = new SecretTags({
      keyEncryptionKeys: async () => state.keys,
      sealingKeyId: () => state.sealedWith.id,
      keep: (each, made) => void kept.push({ tagged: each, tag: made }),
      onFault: (error) => {
        throw error
      },
    })
    await tags.load()
    return { tags, kept, state }
  }

  const registered = (made?: SecretTag): RegisteredSecret => ({
    secretId: tagged.secretId,
    hash: tagged.hash,
    expiresAt: undefined,
    revokedAt: undefined,
    tag: made,
  })

  test('that nobody with the key made for their row are named once, up to a number', async () => {
    const named: string[] = []
    const tags = new SecretTags({
      keyEncryptionKeys: async () => [kek],
      sealingKeyId: () => kek.id,
      keep: () => {},
      onFault: () => {},
      onSpoiled: (secretId) => void named.push(secretId),
    })
    await tags.load()
    const spoiled: SecretTag = { ...tag, bytes: flipped(tag.bytes, 40) }
    for (let index = 0; index < 500; index += 1) {
      const row = { ...registered(spoiled), secretId: `secret ${index}` }
      for (let again = 0; again < 2; again += 1) expect(tags.check('billing', row, secret)).toBeUndefined()
    }
    expect(new Set(named).size).toBe(named.length)
    expect(named).toHaveLength(100)
    tags.check('billing', registered(), secret)
    expect(named, 'no tag is no wrong one').toHaveLength(100)
  })

  test('are made once a secret was found to be right, and known from then on', async () => {
    const { tags, kept } = await processWith([kek], kek)
    const row = registered()
    expect(tags.check('billing', row, secret)).toBeUndefined()
    tags.make('billing', row, secret)
    expect(kept).toEqual([{ tagged, tag }])
    expect(tags.check('billing', row, secret)).toBe('right')
    expect(tags.check('billing', row, 'wrong')).toBe('wrong')
    expect(kept).toHaveLength(1)
  })

  test('under the key before are read, and made anew under the one that the signing keys are sealed with', async () => {
    const { tags, kept } = await processWith([other, kek], other)
    const row = registered(tag)
    expect(tags.check('billing', row, 'wrong')).toBe('wrong')
    expect(kept).toEqual([])
    expect(tags.check('billing', row, secret)).toBe('right')
    expect(kept.map((each) => each.tag.keyEncryptionKeyId)).toEqual([other.id])
    expect(tags.check('billing', row, secret)).toBe('right')
    expect(kept).toHaveLength(1)
  })

  test('are made under what seals the signing keys, although a newer key is at hand', async () => {
    const { tags, kept } = await processWith([other, kek], kek)
    tags.make('billing', registered(), secret)
    expect(kept.map((each) => each.tag.keyEncryptionKeyId)).toEqual([kek.id])
  })

  test('under a key that is gone say nothing, and lock nobody out', async () => {
    const { tags } = await processWith([other], other)
    expect(tags.check('billing', registered(tag), secret)).toBeUndefined()
    expect(tags.check('billing', registered(tag), 'wrong')).toBeUndefined()
  })

  test('are not made while the key that seals the signing keys is not at hand; once it is, they are', async () => {
    const { tags, kept, state } = await processWith([kek], kek)
    state.sealedWith = other
    tags.make('billing', registered(), secret)
    expect(kept).toEqual([])
    state.keys = [other, kek]
    await tags.follow()
    tags.make('billing', registered(), secret)
    expect(kept).toHaveLength(1)
  })
})
