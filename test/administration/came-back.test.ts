import { describe, expect, test } from 'vitest'
import { findCameBack } from '../../src/administration/came-back.ts'
import {
  accessKey,
  type ChangeRecord,
  type RegisteredState,
} from '../../src/administration/came-back-state.ts'
import { ruleFields } from '../../src/administration/trust-plan.ts'

const now = Date.parse('2027-01-31T12:00:00Z') / 1000

const state = (liveSecrets: ReadonlyMap<string, number | undefined>): RegisteredState => ({
  clients: new Map(),
  liveSecrets,
  liveClientKeys: new Set(),
  access: new Map(),
  resources: new Map(),
  liveKeys: new Set(),
  trust: { issuers: new Map(), rules: new Map(), blockedWorkloads: new Set() },
})

const ended = (outcome: 'changed' | 'ended', to: string): ChangeRecord => ({
  type: 'secret',
  outcome,
  time: '2027-01-30T12:00:00Z',
  client_id: 'billing',
  credential_id: 'k3v9x2ab',
  detail: { changes: { expires_at: { to } } },
})

test.each(['changed', 'ended'] as const)(
  'a secret that was replaced and has no end any more came back: %s',
  (outcome) => {
    const records = [ended(outcome, '2027-01-31T11:00:00Z')]
    const found = (end: number | undefined) => findCameBack(records, state(new Map([['k3v9x2ab', end]])), now)
    const came = { kind: 'secret_expires_later', clientId: 'billing', secretId: 'k3v9x2ab' }
    expect(found(undefined)).toEqual([expect.objectContaining(came)])
    expect(found(now + 60)).toEqual([expect.objectContaining(came)])
    expect(found(now - 3_600)).toEqual([])
    expect(findCameBack(records, state(new Map()), now)).toEqual([])
  },
)

test('one that was revoked later is told once, as one that is alive', () => {
  const revoked = {
    ...ended('changed', '2027-02-01T00:00:00Z'),
    time: '2027-01-30T13:00:00Z',
    outcome: 'revoked',
  }
  const records = [ended('changed', '2027-02-01T00:00:00Z'), revoked]
  const found = findCameBack(records, state(new Map([['k3v9x2ab', undefined]])), now)
  expect(found.map(({ kind }) => kind)).toEqual(['secret_alive'])
})

test('a change by hand hides nothing that a command took away', () => {
  const taken = {
    type: 'issuer',
    outcome: 'disabled',
    time: '2027-01-30T12:00:00Z',
    credential_id: 'https://a.example',
  }
  const byHand = { ...taken, outcome: 'changed by hand', time: '2027-01-30T13:00:00Z' }
  const issuers = new Map([['https://a.example', { status: 'active', keys: 'discovery' }]])
  const registered = {
    ...state(new Map()),
    trust: { issuers, rules: new Map(), blockedWorkloads: new Set<string>() },
  }
  const kinds = (records: ChangeRecord[]) => findCameBack(records, registered, now).map(({ kind }) => kind)
  expect(kinds([taken, byHand])).toEqual(['issuer_enabled'])
  expect(kinds([taken, byHand, { ...taken, outcome: 'enabled', time: '2027-01-30T14:00:00Z' }])).toEqual([])
})

describe('a rule', () => {
  const at = { type: 'trust_rule', time: '2027-01-30T12:00:00Z', credential_id: 'deploy' }
  const given = {
    rule: 'deploy',
    conditions: [{ claim: 'sub', equals: 'a' }],
    client_id: 'billing',
    assertion_use: 'once',
  }
  const kinds = (records: ChangeRecord[], words: object = given, issuer = 'https://a.example') => {
    const rules = new Map([['deploy', { issuer, fields: ruleFields(words) }]])
    const issuers = new Map([[issuer, { status: 'active', keys: 'discovery' }]])
    const registered = { ...state(new Map()), trust: { issuers, rules, blockedWorkloads: new Set<string>() } }
    return findCameBack(records, registered, now).map(({ kind, surplus = [] }) =>
      [kind, ...surplus].join(' '),
    )
  }

  test('is told once, with all that it says again', () => {
    const changes = {
      conditions: { to: ['claim: "sub", equals: "b"'] },
      assertion_use: { to: 'until_expiry' },
    }
    expect(kinds([{ ...at, outcome: 'changed', detail: { changes } }])).toEqual([
      'rule_changed conditions assertion_use',
    ])
    const same = { assertion_use: { to: 'once' } }
    expect(kinds([{ ...at, outcome: 'changed', detail: { changes: same } }])).toEqual([])
  })

  test('that was made anew says what it was made with', () => {
    const made = [
      { ...at, outcome: 'deleted' },
      { ...at, outcome: 'created', time: '2027-01-30T13:00:00Z', detail: { given } },
    ]
    expect(kinds(made)).toEqual([])
    expect(kinds(made, { ...given, client_id: 'admin', access: [] })).toEqual([
      'rule_changed client_id access',
    ])
    expect(kinds(made.slice(0, 1))).toEqual(['rule_undeleted'])
  })

  test('that was made anew and asks for more than before, asks for less again', () => {
    const demands = { require_dpop: 'any_key', require_certificate: { tls_client_auth_san_uri: '{sub}' } }
    const made = [
      { ...at, outcome: 'deleted' },
      {
        ...at,
        outcome: 'created',
        time: '2027-01-30T13:00:00Z',
        detail: { given: { ...given, ...demands } },
      },
    ]
    expect(kinds(made, { ...given, ...demands })).toEqual([])
    expect(kinds(made)).toEqual(['rule_changed require_certificate require_dpop'])
    // And what was said of an earlier rule of that name is not asked of the next one.
    const changed = { require_dpop: { to: 'any_key' } }
    const plain = { ...at, outcome: 'created', time: '2027-01-30T14:00:00Z', detail: { given } }
    expect(kinds([{ ...at, outcome: 'changed', detail: { changes: changed } }, ...made, plain])).toEqual([])
  })

  test('of an issuer that came back goes with it', () => {
    const gone = { ...at, outcome: 'deleted' }
    const issuer = { ...at, type: 'issuer', outcome: 'deleted', credential_id: 'https://a.example' }
    expect(kinds([gone, issuer])).toEqual(['issuer_undeleted'])
  })
})

test('things are told in the order in which they were taken away last, in which they can be taken away again', () => {
  const resource = { type: 'resource', outcome: 'changed', audience: 'urn:a' }
  const narrowed = (time: string, to: readonly string[]): ChangeRecord => ({
    ...resource,
    time,
    detail: { changes: { scopes: { to } } },
  })
  const access = { type: 'access', outcome: 'deleted', client_id: 'billing', audience: 'urn:a' }
  const records = [
    narrowed('2027-01-30T12:00:00Z', ['read', 'write']),
    { ...access, time: '2027-01-30T13:00:00Z' },
    narrowed('2027-01-30T14:00:00Z', ['read']),
  ]
  const scopes = ['read', 'write', 'old']
  const registered = {
    ...state(new Map()),
    access: new Map([[accessKey('billing', 'urn:a'), ['write']]]),
    resources: new Map([
      ['urn:a', { scopes, tokenLifetimeSeconds: 60, signingAlgorithm: 'ES256', tokenTyp: 'at+jwt' }],
    ]),
  }
  expect(findCameBack(records, registered, now).map(({ kind }) => kind)).toEqual([
    'access_back',
    'resource_scopes_back',
  ])
})

test('a rule that moved to another issuer is back at the one before', () => {
  const at = { type: 'trust_rule', credential_id: 'deploy' }
  const moved = [
    { ...at, outcome: 'deleted', time: '2027-01-30T12:00:00Z' },
    { ...at, outcome: 'created', time: '2027-01-30T13:00:00Z', detail: { issuer: 'https://b.example' } },
  ]
  const found = (issuer: string) => {
    const rules = new Map([['deploy', { issuer, fields: {} }]])
    const trust = { issuers: new Map(), rules, blockedWorkloads: new Set<string>() }
    return findCameBack(moved, { ...state(new Map()), trust }, now).map(({ kind }) => kind)
  }
  expect(found('https://b.example')).toEqual([])
  expect(found('https://a.example')).toEqual(['rule_changed'])
})

test('a resource that was made anew with less has again what it had', () => {
  const at = { type: 'resource', audience: 'urn:a' }
  const given = {
    scopes: ['read'],
    token_lifetime: 60,
    signing_algorithm: 'ES256',
    token_typ: 'at+jwt',
    external: false,
    subject_form: null,
    claims: null,
  }
  const made = [
    { ...at, outcome: 'deleted', time: '2027-01-30T12:00:00Z' },
    { ...at, outcome: 'created', time: '2027-01-30T13:00:00Z', detail: { given } },
  ]
  const plain = {
    scopes: ['read'],
    tokenLifetimeSeconds: 60,
    signingAlgorithm: 'ES256',
    tokenTyp: 'at+jwt',
  }
  const kinds = (more: object = {}, records: ChangeRecord[] = made) => {
    const resources = new Map([['urn:a', { ...plain, ...more }]])
    return findCameBack(records, { ...state(new Map()), resources }, now).map(({ kind }) => kind)
  }
  expect(kinds()).toEqual([])
  expect(kinds({ scopes: ['read', 'write'], tokenLifetimeSeconds: 300 })).toEqual([
    'resource_scopes_back',
    'resource_lifetime_longer',
  ])
  expect(kinds({ external: true, subjectForm: 'a:{client_id}', claims: { tenant: 'b' } })).toEqual([
    'resource_changed',
    'resource_changed',
    'resource_claims_changed',
  ])
  const changed = { ...at, outcome: 'changed', time: '2027-01-30T14:00:00Z' }
  const wider = { ...changed, detail: { changes: { token_lifetime: { to: 300 } } } }
  expect(kinds({ tokenLifetimeSeconds: 300 }, [...made, wider])).toEqual([])
})

test('an issuer that was made anew with other keys has its earlier ones again', () => {
  const at = { type: 'issuer', time: '2027-01-30T12:00:00Z', credential_id: 'https://a.example' }
  const later = { ...at, outcome: 'created', time: '2027-01-30T13:00:00Z' }
  const kinds = (made: ChangeRecord, keys: string) => {
    const issuers = new Map([['https://a.example', { status: 'active', keys }]])
    const trust = { issuers, rules: new Map(), blockedWorkloads: new Set<string>() }
    const records = [{ ...at, outcome: 'deleted' }, made]
    return findCameBack(records, { ...state(new Map()), trust }, now).map(({ kind }) => kind)
  }
  const published = { ...later, detail: { jwks_uri: 'https://a.example/new' } }
  expect(kinds(published, 'jwks_uri https://a.example/new')).toEqual([])
  expect(kinds(published, 'discovery')).toEqual(['issuer_keys_back'])
  expect(kinds(published, 'jwks_uri https://a.example/old')).toEqual(['issuer_keys_back'])
  const listed = { ...later, detail: { jwks: { keys: [{ kid: 'two', n: 'AQ' }] } } }
  expect(kinds(listed, 'jwks two AQ')).toEqual([])
  expect(kinds(listed, 'jwks one AQ')).toEqual(['issuer_keys_back'])
  expect(kinds(later, 'discovery')).toEqual([])
  expect(kinds(later, 'jwks one AQ')).toEqual(['issuer_keys_back'])
})
