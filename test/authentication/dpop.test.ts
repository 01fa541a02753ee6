/** What a proof proves, and when it is enough. */
import { createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Dpop, identifiersOf, possessionRefusal, withPossession } from '../../src/authentication/dpop.ts'
import { DpopNonces, makeNonce, nonceKey } from '../../src/authentication/dpop-nonces.ts'
import { type ParsedDpopProof, readDpopProof } from '../../src/authentication/dpop-proof.ts'
import type { Proof } from '../../src/authentication/method.ts'
import { type KeyEncryptionKey, keyEncryptionKey } from '../../src/keys/seal.ts'
import { limits } from '../../src/limits.ts'
import type { RefusalReason } from '../../src/refusals.ts'
import { makeKey } from '../support/assertion.ts'
import { type ProofChanges, proofOf } from '../support/dpop.ts'

const uri = 'https://tokens.example.com/token'
const alias = 'https://mtls.example.com/token'
const now = 1_800_000_000
const keys = { ec: makeKey('ES256'), ed: makeKey('EdDSA'), ps: makeKey('PS256'), rs: makeKey('RS256') }
const other = makeKey('ES256')

function parsed(text: string): ParsedDpopProof {
  const read = readDpopProof(text)
  if (read.parsed === undefined) throw new Error(read.refusal)
  return read.parsed
}

const at = (changes: ProofChanges = {}, key = keys.ec) =>
  parsed(proofOf(key, uri, { ...changes, claims: { iat: now, ...changes.claims } }))

const open = { dpopBoundTokens: false }
const bound = { dpopBoundTokens: true }
const refusalOf = (changes: ProofChanges, dpop = new Dpop([uri, alias], undefined)) =>
  possessionRefusal(dpop.prove(at(changes)), open, now)

describe('a proof', () => {
  test.each(Object.entries(keys))('by %s proves its key', (_name, key) => {
    const possession = new Dpop([uri], undefined).prove(at({}, key))
    expect(possession).toMatchObject({ thumbprint: key.thumbprint, refusal: undefined, nonce: undefined })
    expect(possessionRefusal(possession, bound, now)).toBeUndefined()
  })

  const accepted: readonly (readonly [string, ProofChanges['claims']])[] = [
    ['made ten seconds ago', { iat: now - 10 }],
    ['by a clock that is ten seconds ahead', { iat: now + 10 }],
    ['as old as may be', { iat: now - limits.dpopProofAgeSecondsMax + 0.5 }],
    ['as far ahead as may be', { iat: now + limits.dpopProofLeewaySeconds }],
    ['with a query and a fragment', { htu: `${uri}?a#b` }],
    ['with a host in capitals', { htu: 'HTTPS://TOKENS.example.com/token' }],
    ['with the usual port', { htu: 'https://tokens.example.com:443/token' }],
    ['with an escape that none needs', { htu: 'https://tokens.example.com/tok%65n' }],
    ['for another URI of this endpoint', { htu: alias }],
    ['with a nonce that nobody asked for', { nonce: 'any' }],
  ]
  test.each(accepted)('is accepted %s', (_name, claims) => {
    expect(refusalOf({ claims: { ...claims } })).toBeUndefined()
  })

  const refused: readonly (readonly [RefusalReason, string, ProofChanges['claims']])[] = [
    ['dpop_method_wrong', 'for GET', { htm: 'GET' }],
    ['dpop_method_wrong', 'for post', { htm: 'post' }],
    ['dpop_method_wrong', 'for nothing', { htm: '' }],
    ['dpop_uri_wrong', 'another host', { htu: 'https://tokens.example.org/token' }],
    ['dpop_uri_wrong', 'another path', { htu: 'https://tokens.example.com/tokens' }],
    ['dpop_uri_wrong', 'a slash at the end', { htu: `${uri}/` }],
    ['dpop_uri_wrong', 'another scheme', { htu: 'http://tokens.example.com/token' }],
    ['dpop_uri_wrong', 'the issuer', { htu: 'https://tokens.example.com' }],
    ['dpop_uri_wrong', 'a path alone', { htu: '/token' }],
    ['dpop_uri_wrong', 'nothing', { htu: '' }],
    ['dpop_uri_wrong', 'what a URL parser would mend', { htu: 'https:\\\\tokens.example.com\\token' }],
    ['dpop_uri_wrong', 'with a user', { htu: 'https://a@tokens.example.com/token' }],
    ['dpop_proof_expired', 'an hour ago', { iat: now - 3_600 }],
    ['dpop_proof_expired', 'just over', { iat: now - limits.dpopProofAgeSecondsMax }],
    ['dpop_proof_not_yet_valid', 'in an hour', { iat: now + 3_600 }],
    ['dpop_proof_not_yet_valid', 'just too early', { iat: now + limits.dpopProofLeewaySeconds + 0.5 }],
  ]
  test.each(refused)('%s: %s', (reason, _name, claims) => {
    expect(refusalOf({ claims: { ...claims } })).toBe(reason)
  })

  test('by another key than the one in it', () => {
    expect(refusalOf({ header: { jwk: other.publicJwk } })).toBe('dpop_signature_wrong')
  })

  test('whose signature is spoiled, cut, empty of sense or of another kind', () => {
    const dpop = new Dpop([uri], undefined)
    for (const key of Object.values(keys)) {
      const proof = at({}, key)
      const spoiled = Buffer.from(proof.signature)
      spoiled[7] = (spoiled[7] ?? 0) ^ 1
      const signatures = [
        spoiled,
        proof.signature.subarray(1),
        Buffer.concat([proof.signature, Buffer.alloc(1)]),
        Buffer.alloc(proof.signature.length),
        Buffer.alloc(1),
        Buffer.alloc(3_000),
      ]
      for (const signature of signatures) {
        expect(dpop.prove({ ...proof, signature }).refusal).toBe('dpop_signature_wrong')
      }
    }
  })

  test.each([keys.ps, keys.rs])('of RSA whose leading zero is cut off', (key) => {
    const dpop = new Dpop([uri], undefined)
    let proof = at({}, key)
    while (proof.signature[0] !== 0) proof = at({}, key)
    expect(dpop.prove(proof).refusal).toBeUndefined()
    const signature = proof.signature.subarray(1)
    expect(dpop.prove({ ...proof, signature }).refusal).toBe('dpop_signature_wrong')
  })

  test('with a point that is not on the curve', () => {
    const y = Buffer.alloc(32, 7).toString('base64url')
    expect(refusalOf({ header: { jwk: { ...keys.ec.publicJwk, y } } })).toBe('dpop_key_unusable')
  })

  test('a wrong signature of a key that was right before is still wrong', () => {
    const dpop = new Dpop([uri], undefined)
    expect(dpop.prove(at()).refusal).toBeUndefined()
    expect(dpop.prove({ ...at(), signature: Buffer.alloc(64, 1) }).refusal).toBe('dpop_signature_wrong')
    expect(dpop.prove(at()).refusal).toBeUndefined()
  })

  test('counts once: by its key and its identifier, for as long as it is accepted', () => {
    const dpop = new Dpop([uri], undefined)
    const onceOf = (jti: string, key = keys.ec, iat = now) =>
      dpop.prove(at({ claims: { jti, iat } }, key)).once
    expect(onceOf('j')).toEqual(onceOf('j'))
    expect(onceOf('j').digest).toMatch(/^[0-9a-f]{64}$/)
    expect(onceOf('j').digest).not.toBe(onceOf('k').digest)
    expect(onceOf('j').digest).not.toBe(onceOf('j', keys.ed).digest)
    const { expiresAt, reason } = onceOf('j', keys.ec, now + 0.5)
    expect([expiresAt, reason]).toEqual([now + limits.dpopProofAgeSecondsMax + 1, 'dpop_proof_replayed'])
  })

  test('none, from a client that must bring one, and from one that need not', () => {
    expect(possessionRefusal(undefined, bound, now)).toBe('dpop_proof_missing')
    expect(possessionRefusal(undefined, open, now)).toBeUndefined()
  })
})

describe('a proof that is a JWT with times of its own', () => {
  const { dpopProofLeewaySeconds: leeway } = limits
  test.each<[RefusalReason | undefined, string, ProofChanges['claims']]>([
    [undefined, 'has begun and not ended', { nbf: now - 1, exp: now + 1 }],
    [undefined, 'begins as far ahead as a clock may be', { nbf: now + leeway }],
    ['dpop_proof_not_yet_valid', 'begins later', { nbf: now + leeway + 1 }],
    [undefined, 'ends in half a second', { exp: now + 0.5 }],
    ['dpop_proof_expired', 'ends now', { exp: now }],
  ])('%s for a client that is held to FAPI, and nothing for others, if it %s', (reason, _title, claims) => {
    const possession = new Dpop([uri], undefined).prove(at({ claims: { ...claims } }))
    expect(possessionRefusal(possession, { ...open, fapi: true }, now)).toBe(reason)
    for (const client of [open, { ...open, fapi: false }])
      expect(possessionRefusal(possession, client, now)).toBeUndefined()
  })
})

describe('what proves a client', () => {
  const once = { digest: 'of the assertion', expiresAt: now, reason: 'assertion_replayed' } as const
  const proven: Proof = { credentialId: 'k', checkedHash: undefined, matched: true }
  const dpop = new Dpop([uri], undefined)
  const given = at()
  const possession = dpop.prove(given)

  test('also says which key the caller has, if it brought a proof', () => {
    expect(withPossession(dpop, given, proven, undefined)).toEqual({ ...proven, possession })
    expect(withPossession(dpop, given, proven, proven)).toEqual({ ...proven, possession })
    expect(withPossession(dpop, undefined, proven, { ...proven, possession })).toBe(proven)
  })

  test('says what was found out before the registry changed', () => {
    const earlier = { ...proven, possession: dpop.prove(at({}, other)) }
    expect(withPossession(dpop, given, proven, earlier)).toEqual(earlier)
  })

  test('is used up with all that counts once', () => {
    expect(identifiersOf(proven)).toEqual([])
    expect(identifiersOf({ ...proven, once })).toEqual([once])
    expect(identifiersOf({ ...proven, possession })).toEqual([possession.once])
    expect(identifiersOf({ ...proven, once, possession })).toEqual([once, possession.once])
  })
})

describe('a nonce', () => {
  const [first, second] = [keyEncryptionKey(randomBytes(32)), keyEncryptionKey(randomBytes(32))]

  async function openNonces(keysAtHand: readonly KeyEncryptionKey[], sealing = keysAtHand[0]) {
    const state = { now, keys: keysAtHand, sealing: sealing as KeyEncryptionKey | undefined }
    const nonces = new DpopNonces({
      now: () => state.now,
      keyEncryptionKeys: async () => state.keys as [KeyEncryptionKey],
      sealingKeyId: () => state.sealing?.id,
      onFault(error) {
        throw error
      },
    })
    await nonces.load()
    return { nonces, state }
  }

  const withNonce = (nonces: DpopNonces, nonce: unknown) =>
    refusalOf({ claims: { nonce } }, new Dpop([uri], nonces))

  test('is right on every replica that has the same key', async () => {
    const [one, two] = [await openNonces([first]), await openNonces([first])]
    expect(one.nonces.current).toMatch(/^[\w-]{30}$/)
    expect(withNonce(two.nonces, one.nonces.current)).toBeUndefined()
    expect(one.nonces.current).toBe(one.nonces.current)
  })

  test('is a time and a MAC, made as is written, so that every version reads those of another', () => {
    const time = Buffer.from('000000000001', 'hex')
    const key = hkdfSync('sha256', first.bytes, Buffer.alloc(0), 'mintmark/dpop-nonce/v1', 32)
    const mac = createHmac('sha256', Buffer.from(key)).update(time).digest().subarray(0, 16)
    expect(makeNonce(nonceKey(first), 1)).toBe(Buffer.concat([time, mac]).toString('base64url'))
  })

  test('is not given while no key is at hand that every replica has', async () => {
    const { nonces, state } = await openNonces([first])
    for (const sealing of [undefined, second]) {
      state.sealing = sealing
      expect(nonces.current).toBeUndefined()
    }
    state.sealing = first
    expect(nonces.current).toBe(makeNonce(nonceKey(first), now))
  })

  test('is missed', async () => {
    const { nonces } = await openNonces([first])
    expect(withNonce(nonces, undefined)).toBe('dpop_nonce_missing')
  })

  test('is wrong when nobody here made it', async () => {
    const { nonces } = await openNonces([first])
    const good = makeNonce(nonceKey(first), now)
    const wrong = [
      '',
      'nonce',
      `${good}A`,
      good.slice(1),
      `A${good.slice(0, -1)}`,
      `${good.slice(0, -1)}${good.endsWith('A') ? 'Q' : 'A'}`,
      ` ${good}`,
      'x'.repeat(30),
      'é'.repeat(30),
      makeNonce(nonceKey(second), now),
      makeNonce(nonceKey(first), now + limits.dpopProofLeewaySeconds + 1),
    ]
    for (const nonce of wrong) expect(withNonce(nonces, nonce), nonce).toBe('dpop_nonce_wrong')
    expect(withNonce(nonces, good)).toBeUndefined()
  })

  test('expires', async () => {
    const { nonces, state } = await openNonces([first])
    const nonce = nonces.current
    state.now = now + limits.dpopNonceSeconds - 1
    expect(nonces.check(nonce)).toBe('right')
    state.now = now + limits.dpopNonceSeconds
    expect(nonces.check(nonce)).toBe('expired')
    expect(nonces.current).not.toBe(nonce)
    expect(nonces.check(nonces.current)).toBe('right')
    // An expired one is told by its refusal.
    state.now = now
    const old = makeNonce(nonceKey(first), now - limits.dpopNonceSeconds)
    expect(withNonce(nonces, old)).toBe('dpop_nonce_expired')
  })

  test('from a replica whose clock is ahead is right', async () => {
    const { nonces } = await openNonces([first])
    expect(nonces.check(makeNonce(nonceKey(first), now + limits.dpopProofLeewaySeconds))).toBe('right')
  })

  test('is made under the key that seals the newest signing key, and read under both while keys are sealed anew', async () => {
    const [before, during] = [await openNonces([first]), await openNonces([second, first], first)]
    expect(before.nonces.check(during.nonces.current)).toBe('right')
    const given = before.nonces.current
    during.state.sealing = second
    expect(during.nonces.check(given)).toBe('right')
    expect(before.nonces.check(during.nonces.current)).toBe('wrong')
    // The other replica hears of it and asks for its keys again.
    before.state.sealing = second
    before.state.keys = [second]
    await before.nonces.follow()
    expect(before.nonces.check(during.nonces.current)).toBe('right')
    expect(before.nonces.check(given)).toBe('right')
  })
})
