/**
 * The grant from top to bottom, on edges that a test holds: whatever happens, there is one record of it, and it comes first.
 * Long because the edges that all its tests share are in it.
 */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Dpop } from '../../src/authentication/dpop.ts'
import { FailureLimit } from '../../src/authentication/failure-limit.ts'
import { makeSecret } from '../../src/authentication/secret.ts'
import type { SecretTags } from '../../src/authentication/secret-tags.ts'
import { Verification } from '../../src/authentication/verification.ts'
import type { CommitOutcome } from '../../src/ledger/commit.ts'
import type { AuditRecord } from '../../src/ledger/record.ts'
import { ClaimedText } from '../../src/lib/claimed-text.ts'
import { limits } from '../../src/limits.ts'
import { OAuthError } from '../../src/refusals.ts'
import type { RegisteredClient, RegisteredSecret } from '../../src/registry/client.ts'
import type { View } from '../../src/registry/memory.ts'
import { type IssueEdges, issueToken, recordRefusal } from '../../src/token/issue.ts'
import type { Claimed, RawTokenRequest } from '../../src/token/request.ts'
import { clientDefaults } from '../support/registered.ts'

const now = 1_800_000_000
const orders = 'https://orders.example.com'
const randomId = '2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1'
const origin = { address: '10.0.0.1', userAgent: 'curl/8.5.0', requestId: 'abc-1' }
const { secretId, secret } = makeSecret(randomBytes)

const client: RegisteredClient = {
  ...clientDefaults,
  clientId: 'billing',
  tokenEndpointAuthMethod: 'client_secret_post',
  secrets: new Map<string, RegisteredSecret>([
    [
      secretId,
      { secretId, hash: `hash of ${secret}`, expiresAt: undefined, revokedAt: undefined, tag: undefined },
    ],
  ]),
  access: new Map([[orders, ['orders:read', 'orders:write']]]),
}
const view: View = {
  version: 7,
  client,
  resource: {
    audience: orders,
    scopes: new Set(['orders:read', 'orders:write']),
    tokenLifetimeSeconds: 300,
    signingAlgorithm: 'ES256',
    tokenTyp: 'at+jwt',
  },
}
const nobody: View = { version: 6, client: undefined, resource: undefined }
const stale: CommitOutcome = { committed: false, version: 8 }
const committed: CommitOutcome = { committed: true }

const claimedText = new ClaimedText(Buffer.alloc(32))
const raw = (body: Buffer): RawTokenRequest => ({
  rawHeaders: [],
  body,
  claimedText,
  isRegistered: () => false,
})

/** Edges that note what they are asked, one line each, and answer as a test wants. */
function openEdges(changes: Partial<IssueEdges> = {}) {
  const steps: string[] = []
  const records: AuditRecord[] = []
  const signed: string[] = []
  const answers = {
    /** The views that are given, one after the other; the last for all that come later. */
    views: [view] as (View | Error)[],
    /** What becomes of commits and refusals; committed when there is nothing more. */
    outcomes: [] as (CommitOutcome | Error)[],
    signs: true,
    /** How long the longest token of the key that signs may live. */
    keySeconds: 1_000_000,
  }
  const given = <Answer>(answer: Answer | Error): Answer => {
    if (answer instanceof Error) throw answer
    return answer
  }
  const edges: IssueEdges = {
    issuer: 'https://tokens.example.com',
    dpop: new Dpop(['https://tokens.example.com/token'], undefined),
    tokenLifetimeSecondsMax: 86_400,
    clock: {
      nowSeconds: () => now,
      nowMilliseconds: () => now * 1_000 + 123,
      monotonicMilliseconds: () => 0,
    },
    clockGuard: { reliable: true },
    remoteKeys: {} as IssueEdges['remoteKeys'],
    clientMetadata: {} as IssueEdges['clientMetadata'],
    claimedText,
    workloadUses: { note: () => {}, close: async () => {} },
    registry: {
      // The way of all whom memory does not have; admission is tested with the authentication.
      knows: () => true,
      viewNow: () => undefined,
      async view(clientId: string, target: string | undefined) {
        steps.push(`view ${clientId} ${target}`)
        const next = answers.views.length > 1 ? answers.views.shift() : answers.views[0]
        return given(next ?? nobody)
      },
      async refresh(version: number) {
        steps.push(`refresh ${version}`)
      },
    } as unknown as IssueEdges['registry'],
    keyring: {
      signer: (algorithm: string, at: number) => ({
        kid: `${algorithm} key at ${at}`,
        tokensEndBy: at + answers.keySeconds,
        sign(claims: string) {
          steps.push('sign')
          signed.push(claims)
          return 'a.signed.token'
        },
      }),
    } as unknown as IssueEdges['keyring'],
    ledger: {
      async commit(version, record, meanwhile) {
        steps.push(`commit ${version}`)
        records.push(record)
        const outcome = given(answers.outcomes.shift() ?? committed)
        if (answers.signs) meanwhile?.()
        return outcome
      },
      async refuse(record, version) {
        steps.push(`refuse ${record.reason} ${version}`)
        records.push(record)
        return given(answers.outcomes.shift() ?? committed)
      },
      count(record) {
        steps.push(`count ${record.reason}`)
        records.push(record)
      },
      healthy: true,
      close: async () => {},
    },
    secretUses: {
      note: (id, { time }) => void steps.push(`note ${id === secretId} ${time}`),
      close: async () => {},
    },
    keyUses: { note: () => {}, close: async () => {} },
    clientUses: { note: () => {}, close: async () => {} },
    randomId: () => randomId,
    verification: new Verification(
      {
        parallelMax: 1,
        now: () => now,
      },
      async (hash, presented) => {
        steps.push('verify')
        return hash === `hash of ${presented}`
      },
    ),
    secretTags: { check: () => undefined, make: () => {} } as unknown as SecretTags,
    failureLimit: new FailureLimit({
      perClientMax: 100,
      perAddressMax: 100,
      monotonicMilliseconds: () => 0,
    }),
    ...changes,
  }
  const claimed: Claimed = {}
  const ask = (parameters: Record<string, string> = {}) => {
    const form = {
      grant_type: 'client_credentials',
      client_id: 'billing',
      client_secret: secret,
      ...parameters,
    }
    const body = Buffer.from(new URLSearchParams(form).toString())
    return issueToken(edges, raw(body), origin, claimed)
  }
  const refused = async (parameters: Record<string, string> = {}): Promise<OAuthError> => {
    const error = await ask(parameters).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(OAuthError)
    return error as OAuthError
  }
  return { edges, steps, records, signed, answers, ask, refused, claimed }
}

/** The number of one step among those that were taken. */
const count = (steps: readonly string[], step: string) => steps.filter((one) => one === step).length

describe('a token', () => {
  test('is signed while its record is on the way, and given out once that is durable', async () => {
    const { ask, steps, records, signed } = openEdges()
    expect(await ask({ scope: 'orders:read', resource: orders })).toEqual({
      accessToken: 'a.signed.token',
      expiresInSeconds: 300,
      scope: 'orders:read',
      tokenType: 'Bearer',
    })
    const time = now * 1_000 + 123
    expect(steps).toEqual([`view billing ${orders}`, 'verify', 'commit 7', 'sign', `note true ${time}`])
    const jti = '01a3185c-507b-7a40-9df0-1d4d3ac0a8b1'
    expect(records).toEqual([
      {
        time,
        type: 'token',
        outcome: 'issued',
        clientId: 'billing',
        authenticationMethod: 'client_secret_post',
        credentialId: secretId,
        audience: orders,
        scope: 'orders:read',
        jti,
        kid: `ES256 key at ${now}`,
        expiresAt: now + 300,
        address: '10.0.0.1',
        userAgent: 'curl/8.5.0',
        requestId: 'abc-1',
      },
    ])
    expect(JSON.parse(signed[0] ?? '')).toEqual({
      iss: 'https://tokens.example.com',
      sub: 'billing',
      client_id: 'billing',
      aud: orders,
      scope: 'orders:read',
      iat: now,
      exp: now + 300,
      jti,
    })
  })

  test('has no scope where the resource has none', async () => {
    const { ask, answers, records } = openEdges()
    answers.views = [{ ...view, client: { ...client, access: new Map([[orders, []]]) } }]
    expect((await ask()).scope).toBe('')
    expect(records[0]?.scope).toBe('')
  })

  test('lives no longer than its key is published for it, whatever the resource says', async () => {
    const { ask, records, signed } = openEdges({ tokenLifetimeSecondsMax: 60 })
    expect((await ask()).expiresInSeconds).toBe(60)
    expect(records[0]?.expiresAt).toBe(now + 60)
    expect(JSON.parse(signed[0] ?? '').exp).toBe(now + 60)
  })

  test('ends with the publication of the key that signs, and the answer says so', async () => {
    const { ask, answers, records, signed } = openEdges()
    answers.keySeconds = 90
    expect((await ask()).expiresInSeconds).toBe(90)
    expect(records[0]?.expiresAt).toBe(now + 90)
    expect(JSON.parse(signed[0] ?? '').exp).toBe(now + 90)
  })

  test('that was not signed is not given out', async () => {
    const { refused, answers, steps } = openEdges()
    answers.signs = false
    const { reason, cause } = await refused()
    expect(reason).toBe('internal_error')
    expect(cause).toMatchObject({ message: 'a token was released before it was signed' })
    expect(steps.filter((step) => step.startsWith('note'))).toEqual([])
  })
})

describe('a registry that moved on before the commit', () => {
  test('is looked at again, and the same proof decides by what it says now', async () => {
    const { ask, answers, steps } = openEdges()
    answers.views = [
      { ...view, version: 7 },
      { ...view, version: 8 },
    ]
    answers.outcomes = [stale]
    expect((await ask()).accessToken).toBe('a.signed.token')
    expect(steps.filter((step) => !/^(?:sign|note)/.test(step))).toEqual([
      'view billing undefined',
      'verify',
      'commit 7',
      'refresh 8',
      'view billing undefined',
      'commit 8',
    ])
  })

  test('may say no this time, and then no is the answer', async () => {
    const { refused, answers, steps } = openEdges()
    answers.views = [view, { ...view, version: 8, client: { ...client, status: 'disabled' } }]
    answers.outcomes = [stale]
    expect((await refused()).reason).toBe('client_disabled')
    expect(steps).toContain('refuse client_disabled 8')
    expect(steps.filter((step) => step.startsWith('note'))).toEqual([])
  })

  test('may say yes this time: nobody is refused for what has changed', async () => {
    const { ask, answers, steps } = openEdges()
    answers.views = [nobody, view]
    answers.outcomes = [stale]
    expect((await ask()).accessToken).toBe('a.signed.token')
    expect(steps.filter((step) => !/^(?:sign|note|verify)/.test(step))).toEqual([
      'view billing undefined',
      'refuse client_unknown 6',
      'refresh 8',
      'view billing undefined',
      'commit 7',
    ])
  })

  test.each([
    ['yes', view, 'commit 7'],
    ['no', nobody, 'refuse client_unknown 6'],
  ])(
    'and does so every time is given up, with a record that holds whatever it says: %s',
    async (_says, each, step) => {
      const { refused, answers, steps, records } = openEdges()
      const most = limits.decisionsPerRequestMax
      answers.views = [each]
      answers.outcomes = Array(most).fill(stale)
      expect((await refused()).reason).toBe('registry_unsettled')
      expect(count(steps, step)).toBe(most)
      expect(steps.at(-1)).toBe('refuse registry_unsettled undefined')
      expect(records.at(-1)).toMatchObject({ credentialId: secretId })
    },
  )
})

describe('a refusal', () => {
  test('of what was proven and decided is recorded by the version it was decided on', async () => {
    const { refused, steps, records } = openEdges()
    const error = await refused({ scope: 'orders:delete', resource: orders })
    expect(error.reason).toBe('scope_not_granted')
    expect(steps.at(-1)).toBe('refuse scope_not_granted 7')
    expect(records).toEqual([
      {
        time: now * 1_000 + 123,
        type: 'token',
        outcome: 'refused',
        error: 'invalid_scope',
        reason: 'scope_not_granted',
        clientId: 'billing',
        authenticationMethod: 'client_secret_post',
        credentialId: secretId,
        audience: orders,
        scope: 'orders:delete',
        address: '10.0.0.1',
        userAgent: 'curl/8.5.0',
        requestId: 'abc-1',
        detail: undefined,
      },
    ])
  })

  test('of what was not understood is recorded whatever the registry says, and looks at nothing', async () => {
    const { refused, steps, records } = openEdges()
    expect((await refused({ grant_type: 'password' })).reason).toBe('grant_type_unsupported')
    expect(steps).toEqual(['refuse grant_type_unsupported undefined'])
    expect(records[0]).toMatchObject({
      clientId: 'billing',
      credentialId: undefined,
      detail: { other_client_id: undefined, grant_type: 'password' },
    })
  })

  test('names both of two identifiers', async () => {
    const { edges, records, claimed } = openEdges()
    const body = Buffer.from('grant_type=client_credentials&client_id=a&client_id=b&client_secret=x')
    await expect(issueToken(edges, raw(body), origin, claimed)).rejects.toThrow()
    expect(records[0]).toMatchObject({ clientId: 'a', detail: { other_client_id: 'b' } })
  })

  test('of a secret that cannot be one of ours comes before anything is looked up', async () => {
    const { refused, steps } = openEdges()
    expect((await refused({ client_secret: 'guess' })).reason).toBe('secret_malformed')
    expect(steps).toEqual(['refuse secret_malformed undefined'])
  })

  test('where the clock cannot be trusted, or nothing may sign', async () => {
    const doubtful = openEdges({ clockGuard: { reliable: false } })
    expect((await doubtful.refused()).reason).toBe('clock_unreliable')
    expect(doubtful.steps.at(-1)).toBe('refuse clock_unreliable undefined')
    expect(doubtful.records.at(-1)).toMatchObject({ credentialId: secretId })

    const keyless = openEdges({ keyring: { signer: () => undefined } as unknown as IssueEdges['keyring'] })
    expect((await keyless.refused()).reason).toBe('keys_unavailable')
    expect(keyless.steps.at(-1)).toBe('refuse keys_unavailable undefined')
  })

  test('for want of room to check a secret is one by the registry at a version, and may turn out stale', async () => {
    const full = new OAuthError('verification_queue_full')
    const failing = {
      attempt() {
        throw full
      },
    } as unknown as FailureLimit
    const { refused, steps, answers } = openEdges({ failureLimit: failing })
    answers.outcomes = [stale]
    expect(await refused()).toBe(full)
    expect(steps).toEqual([
      'view billing undefined',
      'refuse verification_queue_full 7',
      'refresh 8',
      'view billing undefined',
      'refuse verification_queue_full 7',
    ])
  })

  test('for too many failures is one by the registry at a version: there may be a new secret since', async () => {
    const tooMany = new OAuthError('failures_of_client', { retryAfterSeconds: 5 })
    const failing = {
      attempt() {
        throw tooMany
      },
    } as unknown as FailureLimit
    const { refused, steps } = openEdges({ failureLimit: failing })
    expect(await refused()).toBe(tooMany)
    expect(steps).toEqual(['view billing undefined', 'refuse failures_of_client 7'])
  })

  test('that is a fault of this service says nothing to the caller and keeps its cause', async () => {
    const fault = new TypeError('a bug')
    const { refused, answers, steps } = openEdges()
    answers.views = [fault]
    expect(await refused()).toMatchObject({ reason: 'internal_error', cause: fault })
    expect(steps.at(-1)).toBe('refuse internal_error undefined')
  })

  test('for want of the registry is only counted', async () => {
    const away = new OAuthError('registry_unavailable')
    const { refused, answers, steps } = openEdges()
    answers.views = [away]
    expect(await refused()).toBe(away)
    expect(steps).toEqual(['view billing undefined', 'count registry_unavailable'])
  })

  test('for want of the ledger is only counted, and no token is given out', async () => {
    const away = new OAuthError('ledger_unavailable')
    const { refused, answers, steps, records } = openEdges()
    answers.outcomes = [away]
    expect(await refused()).toBe(away)
    expect(steps.slice(-2)).toEqual(['commit 7', 'count ledger_unavailable'])
    expect(records.at(-1)).toMatchObject({ credentialId: secretId, outcome: 'refused' })
  })

  test('that cannot be recorded is counted, and the caller hears why it could not be', async () => {
    const { refused, answers, steps } = openEdges()
    const away = new OAuthError('ledger_unavailable')
    answers.outcomes = [away]
    expect(await refused({ grant_type: 'password' })).toBe(away)
    expect(steps).toEqual(['refuse grant_type_unsupported undefined', 'count grant_type_unsupported'])

    const bug = new Error('a bug')
    const other = openEdges()
    other.answers.outcomes = [bug]
    expect(await other.refused({ grant_type: 'password' })).toMatchObject({
      reason: 'ledger_unavailable',
      cause: bug,
    })
  })
})

test('a refusal from elsewhere is recorded with what is known', async () => {
  const { edges, records } = openEdges()
  const refusal = new OAuthError('body_too_large')
  expect(await recordRefusal(edges, origin, {}, refusal)).toBe(refusal)
  expect(records).toMatchObject([{ reason: 'body_too_large', clientId: undefined, requestId: 'abc-1' }])
})
