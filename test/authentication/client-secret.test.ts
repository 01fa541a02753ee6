/**
 * A client's secret from the request to the judgement: what each way to know it costs, and what counts as a failure.
 * Hashes are stood in for, so nothing here costs what argon2 does.
 *
 * Long because it follows a secret from the request to the judgement, with every way to refuse it.
 */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { clientSecretBasic, clientSecretPost } from '../../src/authentication/client-secret.ts'
import { FailureLimit } from '../../src/authentication/failure-limit.ts'
import type {
  AdmittedSecret,
  AuthenticationEdges,
  PresentedCredentials,
  Proof,
  UseEdges,
} from '../../src/authentication/method.ts'
import { makeSecret, UnusableHash } from '../../src/authentication/secret.ts'
import { Verification } from '../../src/authentication/verification.ts'
import { OAuthError } from '../../src/refusals.ts'
import type { RegisteredClient, RegisteredSecret } from '../../src/registry/client.ts'
import { clientDefaults } from '../support/registered.ts'

const now = 1_800_000_000
const address = '10.0.0.1'
const { secretId, secret } = makeSecret(randomBytes)
const hash = `hash of ${secret}`

const registeredSecret = (changes: Partial<RegisteredSecret> = {}): RegisteredSecret => ({
  secretId,
  hash,
  expiresAt: undefined,
  revokedAt: undefined,
  tag: undefined,
  ...changes,
})
const clientWith = (
  changes: Partial<RegisteredSecret> = {},
  client: Partial<RegisteredClient> = {},
): RegisteredClient => ({
  ...clientDefaults,
  clientId: 'billing',
  secrets: new Map([[secretId, registeredSecret(changes)]]),
  ...client,
})
const presented = (changes: Partial<PresentedCredentials>): PresentedCredentials => ({
  authorization: undefined,
  clientId: undefined,
  clientSecret: undefined,
  clientAssertion: undefined,
  clientAssertionType: undefined,
  ...changes,
})
const authorization = (clientId: string | undefined, text: string | undefined) => ({
  isBasic: true,
  clientId,
  secret: text,
  refusal: undefined,
})

const reasonOf = (act: () => unknown): string | undefined => {
  try {
    act()
    return undefined
  } catch (error) {
    if (error instanceof OAuthError) return error.reason
    throw error
  }
}

interface Answers {
  /** Whether memory has the secret. */
  knows?: boolean
  /** What the database says of the client and the secret. */
  presence?: object
  /** What the tag says. */
  tag?: 'right' | 'wrong' | undefined
  verify?: (hash: string, secret: string) => Promise<boolean>
  parallelMax?: number
  failuresMax?: number
}

/** Edges that note what they are asked: how a secret was checked, and each failure. */
function openEdges(answers: Answers = {}) {
  const steps: string[] = []
  const { failuresMax = 100, parallelMax = 1 } = answers
  const failureLimit = new FailureLimit({
    perClientMax: failuresMax,
    perAddressMax: 1_000,
    monotonicMilliseconds: () => 0,
  })
  const verify = answers.verify ?? (async (stored, text) => stored === `hash of ${text}`)
  const verification = new Verification({ parallelMax, now: () => now }, async (stored, text) => {
    steps.push('hash')
    return await verify(stored, text)
  })
  const edges = {
    issuer: 'https://tokens.example.com',
    registry: {
      knows: (clientId: string, id: string) => {
        expect([clientId, id]).toEqual(['billing', secretId])
        return answers.knows ?? true
      },
      async lookUp(clientId: string, id: string) {
        steps.push(`look up ${clientId} ${id === secretId}`)
        return answers.presence ?? { client: undefined, hasSecret: false }
      },
    },
    verification,
    secretTags: {
      check: () => answers.tag,
      make: (clientId: string, registered: RegisteredSecret, text: string) => {
        expect([registered.secretId, text]).toEqual([secretId, secret])
        steps.push(`tag ${clientId}`)
      },
    },
    failureLimit: {
      fail(clientId: string, from: string) {
        steps.push(`failure ${clientId} ${from}`)
        failureLimit.fail(clientId, from)
      },
      attempt(id: string, from: string) {
        steps.push(`attempt ${id === secretId} ${from}`)
        const attempt = failureLimit.attempt(id, from)
        return {
          forgive() {
            steps.push('forgiven')
            attempt.forgive()
          },
        }
      },
    },
    clock: { nowSeconds: () => now },
  } as unknown as AuthenticationEdges
  return { edges, steps }
}

const credentials = { method: 'client_secret_post' as const, clientId: 'billing', secret }
const admitted: AdmittedSecret = { ...credentials, secretId }
const right: Proof = { credentialId: secretId, checkedHash: hash, matched: true }
const wrong: Proof = { ...right, matched: false }
const { admit, prove, judge, noteUse } = clientSecretPost

describe('a secret in the header', () => {
  const parse = (changes: Partial<PresentedCredentials>) => clientSecretBasic.parse(presented(changes))

  test('is what a request brings as soon as it has the header', () => {
    const { isPresented } = clientSecretBasic
    expect(isPresented(presented({ authorization: authorization(undefined, undefined) }))).toBe(true)
    expect(isPresented(presented({ clientId: 'billing', clientSecret: secret }))).toBe(false)
  })

  test('names its client, and the body may name the same one (RFC 7521 §4.2)', () => {
    const expected = { method: 'client_secret_basic', clientId: 'billing', secret }
    expect(parse({ authorization: authorization('billing', secret) })).toEqual(expected)
    expect(parse({ authorization: authorization('billing', secret), clientId: 'billing' })).toEqual(expected)
    expect(
      reasonOf(() => parse({ authorization: authorization('billing', secret), clientId: 'other' })),
    ).toBe('client_id_mismatch')
  })

  test('needs both halves: a scheme that has none of them is not offered', () => {
    for (const [clientId, text] of [
      [undefined, undefined],
      ['billing', undefined],
      [undefined, secret],
    ]) {
      const act = () => parse({ authorization: authorization(clientId, text), clientId: 'billing' })
      expect(reasonOf(act)).toBe('authentication_method_unsupported')
    }
  })
})

describe('a secret in the body', () => {
  const parse = (changes: Partial<PresentedCredentials>) => clientSecretPost.parse(presented(changes))

  test('is what a request brings as soon as it has the parameter', () => {
    const { isPresented } = clientSecretPost
    expect(isPresented(presented({ clientSecret: '' }))).toBe(true)
    expect(isPresented(presented({ clientId: 'billing' }))).toBe(false)
  })

  test('needs the identifier next to it, and the other way round', () => {
    expect(parse({ clientId: 'billing', clientSecret: secret })).toEqual(credentials)
    expect(reasonOf(() => parse({ clientSecret: secret }))).toBe('authentication_missing')
    expect(reasonOf(() => parse({ clientId: 'billing' }))).toBe('authentication_missing')
  })
})

describe('admission', () => {
  test('of a secret that memory has is at once, and asks nobody', () => {
    const { edges, steps } = openEdges()
    expect(admit(edges, credentials, address)).toEqual(admitted)
    expect(steps).toEqual([])
  })

  test('is refused to a text that is no secret of ours; it counts as a failure and costs no look-up', () => {
    const { edges, steps } = openEdges({ knows: false })
    const guess = { ...credentials, secret: `${secret.slice(0, -1)}-` }
    expect(reasonOf(() => admit(edges, guess, address))).toBe('secret_malformed')
    expect(steps).toEqual([`failure billing ${address}`])
  })

  test('ends in the refusal of the limit once there were too many such texts', () => {
    const { edges } = openEdges({ failuresMax: 2 })
    const guess = { ...credentials, secret: 'guess' }
    const reasons = [1, 2, 3].map(() => reasonOf(() => admit(edges, guess, address)))
    expect(reasons).toEqual(['secret_malformed', 'secret_malformed', 'failures_of_client'])
  })

  test('is given to a secret that only the database has, and nothing is counted', async () => {
    const presence = { client: { status: 'active', expiresAt: undefined }, hasSecret: true }
    const { edges, steps } = openEdges({ knows: false, presence })
    expect(await admit(edges, credentials, address)).toEqual(admitted)
    expect(steps).toEqual(['look up billing true'])
  })

  test.each([
    ['an unknown client', undefined, 'client_unknown'],
    ['an active client', { status: 'active', hasSecrets: true }, 'secret_wrong'],
    ['a client without any secret', { status: 'active', hasSecrets: false }, 'client_has_no_secret'],
    ['a disabled client', { status: 'disabled', hasSecrets: true }, 'client_disabled'],
    ['a client that expires now', { status: 'active', hasSecrets: true, expiresAt: now }, 'client_expired'],
    ['one that expires later', { status: 'active', hasSecrets: true, expiresAt: now + 1 }, 'secret_wrong'],
  ])(
    'of a secret that nobody has costs the same for %s: one look-up, one failure',
    async (_, client, reason) => {
      const { edges, steps } = openEdges({ knows: false, presence: { client, hasSecret: false } })
      const error = await Promise.resolve(admit(edges, credentials, address)).catch(
        (thrown: unknown) => thrown,
      )
      expect(error).toMatchObject({ reason, credentialId: secretId })
      expect(steps).toEqual(['look up billing true', `failure billing ${address}`])
    },
  )
})

describe('the proof of a secret', () => {
  test('is remembered once it was hashed: the second time costs neither a tag nor a hash', async () => {
    const { edges, steps } = openEdges()
    expect(await prove(edges, admitted, clientWith(), address)).toEqual(right)
    expect(steps).toEqual([`attempt true ${address}`, 'hash', 'forgiven', 'tag billing'])
    steps.length = 0
    expect(prove(edges, admitted, clientWith(), address)).toEqual(right)
    expect(steps).toEqual([])
  })

  test('that is remembered is worth nothing for a hash that replaced the one it was made with', async () => {
    const { edges, steps } = openEdges()
    await prove(edges, admitted, clientWith(), address)
    steps.length = 0
    const replaced = clientWith({ hash: 'hash of another' })
    const proof = await prove(edges, admitted, replaced, address)
    expect(proof).toEqual({ credentialId: secretId, checkedHash: 'hash of another', matched: false })
    expect(steps).toEqual([`attempt true ${address}`, 'hash'])
  })

  test('by a tag costs no hash, and is remembered', () => {
    const answers: Answers = { tag: 'right' }
    const { edges, steps } = openEdges(answers)
    expect(prove(edges, admitted, clientWith(), address)).toEqual(right)
    answers.tag = 'wrong'
    expect(prove(edges, admitted, clientWith(), address)).toEqual(right)
    expect(steps).toEqual([])
  })

  test('fails by a tag without a hash, and counts as a failure', () => {
    const { edges, steps } = openEdges({ tag: 'wrong' })
    expect(prove(edges, admitted, clientWith(), address)).toEqual(wrong)
    expect(steps).toEqual([`failure billing ${address}`])
  })

  test('fails by a hash: the attempt is not forgiven, no tag is made, nothing is remembered', async () => {
    const { edges, steps } = openEdges({ verify: async () => false })
    expect(await prove(edges, admitted, clientWith(), address)).toEqual(wrong)
    expect(await prove(edges, admitted, clientWith(), address)).toEqual(wrong)
    expect(steps).toEqual([`attempt true ${address}`, 'hash', `attempt true ${address}`, 'hash'])
  })

  test('says so if the stored hash cannot be used; any other fault is one of the service', async () => {
    const unusable = openEdges({ verify: () => Promise.reject(new UnusableHash('no hash')) })
    expect(await prove(unusable.edges, admitted, clientWith(), address)).toEqual({
      ...wrong,
      fault: 'secret_hash_unusable',
    })
    const broken = openEdges({ verify: () => Promise.reject(new Error('out of memory')) })
    await expect(prove(broken.edges, admitted, clientWith(), address)).rejects.toThrow('out of memory')
  })

  test('is empty, and free, if the client or the secret has gone since admission', () => {
    const { edges, steps } = openEdges()
    const empty = { credentialId: secretId, checkedHash: undefined, matched: false }
    expect(prove(edges, admitted, undefined, address)).toEqual(empty)
    expect(prove(edges, admitted, clientWith({}, { secrets: new Map() }), address)).toEqual(empty)
    expect(steps).toEqual([])
  })

  test('from before the registry changed is kept for the same hash, right or wrong, and made anew for another', async () => {
    const { edges, steps } = openEdges()
    expect(prove(edges, admitted, clientWith(), address, wrong)).toBe(wrong)
    expect(steps).toEqual([])
    const old = { ...wrong, checkedHash: 'hash of another' }
    expect(await prove(edges, admitted, clientWith(), address, old)).toEqual(right)
    expect(steps).toContain('hash')
  })

  test.each([
    ['an active client', {}, {}, true],
    ['a secret and a client that expire later', { expiresAt: now + 1 }, { expiresAt: now + 1 }, true],
    ['a disabled client', {}, { status: 'disabled' as const }, false],
    ['an expired client', {}, { expiresAt: now }, false],
    ['an expired secret', { expiresAt: now }, {}, false],
    ['a revoked secret', { revokedAt: now + 60 }, {}, false],
  ])(
    'waits for its turn to be hashed only if a token may come of it: %s',
    async (_, changes, client, waits) => {
      const slow = Promise.withResolvers<boolean>()
      const verify = (stored: string) => (stored === hash ? Promise.resolve(true) : slow.promise)
      const { edges } = openEdges({ verify })
      const busy = prove(edges, admitted, clientWith({ hash: 'a slow one' }), address)
      const proof = Promise.resolve(prove(edges, admitted, clientWith(changes, client), address))
      const outcome = proof.catch((error: OAuthError) => error.reason)
      // Whoever is turned away is so at once, whatever the other does.
      slow.resolve(false)
      await busy
      expect(await outcome).toEqual(waits ? right : 'verification_queue_full')
    },
  )
})

describe('a proof is judged', () => {
  const secretAnd = (changes: Partial<RegisteredSecret>) => clientWith(changes)

  test.each<[string, Proof, RegisteredClient, string | undefined]>([
    ['right', right, clientWith(), undefined],
    ['wrong', wrong, clientWith(), 'secret_wrong'],
    ['for a hash that was replaced', { ...right, checkedHash: 'older' }, clientWith(), 'secret_wrong'],
    ['for no hash', { ...right, checkedHash: undefined }, clientWith(), 'secret_wrong'],
    ['for a secret that is gone', { ...right, credentialId: 'other' }, clientWith(), 'secret_wrong'],
    ['of a client without secrets', right, clientWith({}, { secrets: new Map() }), 'client_has_no_secret'],
    [
      'with an unusable hash',
      { ...wrong, fault: 'secret_hash_unusable' },
      clientWith(),
      'secret_hash_unusable',
    ],
    ['of a secret that expires now', right, secretAnd({ expiresAt: now }), 'secret_expired'],
    ['of one that expires in a second', right, secretAnd({ expiresAt: now + 1 }), undefined],
    [
      'of a revoked one, whatever the clock says',
      right,
      secretAnd({ revokedAt: now + 60 }),
      'secret_revoked',
    ],
    [
      'of one that is revoked and expired',
      right,
      secretAnd({ revokedAt: now, expiresAt: now }),
      'secret_revoked',
    ],
    ['wrong, for a revoked secret: it tells nothing', wrong, secretAnd({ revokedAt: now }), 'secret_wrong'],
  ])('%s', (_title, proof, client, refusal) => {
    expect(judge(proof, client, now)).toBe(refusal)
  })

  test('and its use is noted under the id of the secret', () => {
    const noted: unknown[] = []
    const edges = { secretUses: { note: (...given: unknown[]) => noted.push(given) } } as unknown as UseEdges
    const use = { time: 1_234, address: '192.0.2.7', userAgent: 'curl' }
    noteUse(edges, 'billing', right, use)
    expect(noted).toEqual([[secretId, use]])
  })
})
