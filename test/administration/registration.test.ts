/**
 * What may be registered is said once. The JSON Schema for others is made from the same schema, so whatever one of
 * the two accepts the other accepts too, but for the few things that JSON Schema has no words for.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { clientKinds } from '../../src/administration/definition.ts'
import { parseClient, parseIssuer, parseRegistration } from '../../src/administration/parse.ts'
import { jsonSchema, schemas } from '../../src/administration/registration.ts'
import { signingAlgorithms, tokenTyps } from '../../src/keys/signing-algorithm.ts'
import { limits } from '../../src/limits.ts'

type Subject = keyof typeof schemas

const subjects = Object.keys(schemas) as Subject[]
const validators = new Map(
  subjects.map((subject) => [subject, new Ajv2020({ strict: true }).compile(jsonSchema(subject))]),
)
const accepts = (subject: Subject, value: unknown) => ({
  schema: schemas[subject].safeParse(value).success,
  json: validators.get(subject)?.(value),
})

const many = (count: number, of: (index: number) => unknown): unknown[] =>
  Array.from({ length: count }, (_, index) => of(index))
const client = (fields: object): [Subject, unknown] => ['client', { client_id: 'a', ...fields }]
const resource = (fields: object): [Subject, unknown] => ['resource', { audience: 'urn:a', ...fields }]
const access = (fields: object): [Subject, unknown] => [
  'access',
  { audience: 'urn:a', scopes: [], ...fields },
]

describe('both accept', () => {
  test.each<[title: string, subject: Subject, value: unknown]>([
    ['a client with nothing but its id', ...client({})],
    [
      'a client with every field',
      ...client({
        name: 'Ä 名前',
        token_endpoint_auth_method: 'client_secret_post',
        status: 'disabled',
        allowed_networks: ['10.0.0.0/8', '10.0.0.7', '2001:db8::/32', '::1', '::ffff:10.0.0.0/104'],
        expires_at: '2027-01-31T23:59:59Z',
        dpop_bound_access_tokens: true,
        access: [{ audience: 'https://orders.example.com', scopes: ['orders:read'] }],
        owner: 'Zahlungen <payments@example.com>',
        purpose: 'Schreibt Rechnungen',
        kind: 'agent',
      }),
    ],
    [
      'a client that is held to the FAPI profile',
      ...client({
        fapi: true,
        token_endpoint_auth_method: 'private_key_jwt',
        dpop_bound_access_tokens: true,
      }),
    ],
    ['a plain name as audience', ...resource({ audience: 'rabbitmq' })],
    ['every character of a plain name', ...resource({ audience: '0Az._~/@-' })],
    ['a resource whose tokens are any JWT', ...resource({ token_typ: 'JWT' })],
    ['every character of an id', ...client({ client_id: 'Az09._:/@~-' })],
    ['the longest id', ...client({ client_id: 'a'.repeat(limits.clientIdCharactersMax) })],
    ['the longest name', ...client({ name: 'n'.repeat(limits.nameCharactersMax) })],
    ['the longest owner and purpose', ...client({ owner: '𝔐'.repeat(200), purpose: 'p'.repeat(500) })],
    ['the longest name in rare characters', ...client({ name: '𝔐'.repeat(limits.nameCharactersMax) })],
    ['a moment with a zone and fractions', ...client({ expires_at: '2027-01-31 23:59:59.123+01:00' })],
    ['as many networks as there may be', ...client({ allowed_networks: many(50, (n) => `10.0.0.${n}`) })],
    [
      'as much access as there may be',
      ...client({
        access: many(limits.accessPerClientMax, (n) => ({ audience: `urn:${n}`, scopes: [] })),
      }),
    ],
    ['a resource with nothing but its audience', ...resource({})],
    [
      'a resource with every field',
      ...resource({
        name: 'Orders',
        scopes: ['r', 'w'],
        token_lifetime: 1,
        signing_algorithm: 'EdDSA',
      }),
    ],
    [
      'an audience of somebody else',
      ...resource({
        external: true,
        subject_form: 'spiffe://example.org/{client_id}',
        claims: { tenant: 'acme', level: 3, production: true, regions: ['eu', 'us'] },
      }),
    ],
    [
      'a session tag of AWS',
      ...client({ claims: { 'https://aws.amazon.com/tags/principal_tags/Team': 'a' } }),
    ],
    ['no claims in a list of them', ...client({ claims: {} })],
    ['every algorithm', ...resource({ signing_algorithm: signingAlgorithms.at(-1) })],
    ['the longest lifetime', ...resource({ token_lifetime: limits.tokenLifetimeSecondsMax })],
    ['an audience with escapes', ...resource({ audience: 'https://a.example/%C3%A4?b=c' })],
    ['an access without scopes', ...access({})],
    ['every scope character', ...access({ scopes: ['!#[]~'] })],
    ['a registration of clients only', 'registration', { clients: [{ client_id: 'a' }] }],
    ['a registration of resources only', 'registration', { resources: [] }],
    ['a secret without an end', 'secret', {}],
    ['a secret with an end', 'secret', { expires_at: '2027-01-31T23:59:59Z' }],
  ])('%s', (_title, subject, value) => {
    expect(accepts(subject, value)).toEqual({ schema: true, json: true })
  })
})

describe('both refuse', () => {
  test.each<[title: string, subject: Subject, value: unknown]>([
    ['nothing', 'client', null],
    ['a list', 'client', []],
    ['a text', 'client', 'a'],
    ['no id', 'client', {}],
    ['claims in a list', ...client({ claims: [] })],
    ['a claim that is an object', ...client({ claims: { a: { b: 1 } } })],
    ['a claim that is nothing', ...resource({ claims: { a: null } })],
    ['a fraction as claim', ...client({ claims: { a: 1.5 } })],
    ['an empty claim', ...client({ claims: { a: '' } })],
    ['a claim that is too long', ...client({ claims: { a: 'x'.repeat(257) } })],
    ['a claim with a space in its name', ...client({ claims: { 'a b': 1 } })],
    [
      'too many claims',
      ...client({ claims: Object.fromEntries(many(21, (n) => [`c${n}`, 1]) as [string, number][]) }),
    ],
    ['a form of the subject without the client', ...resource({ external: true, subject_form: 'client' })],
    ['yes for external', ...resource({ external: 'yes' })],
    [
      'a form of the subject that is too long',
      ...resource({ external: true, subject_form: `${'a'.repeat(118)}{client_id}` }),
    ],
    ['an unknown key', ...client({ nam: 'x' })],
    ['a number as an id', ...client({ client_id: 1 })],
    ['an empty id', ...client({ client_id: '' })],
    ['an id with a space', ...client({ client_id: 'a b' })],
    ['an id with a percent sign', ...client({ client_id: 'a%41' })],
    ['an id that begins with a dot', ...client({ client_id: '.a' })],
    ['an id with a line break behind it', ...client({ client_id: 'a\n' })],
    ['an id that is too long', ...client({ client_id: 'a'.repeat(limits.clientIdCharactersMax + 1) })],
    ['a name of spaces', ...client({ name: '  ' })],
    ['a name of two lines', ...client({ name: 'a\nb' })],
    ['a name that turns text around', ...client({ name: 'a\u202eb' })],
    ['half a surrogate pair', ...client({ name: 'a\ud800b' })],
    ['a name that is too long', ...client({ name: 'n'.repeat(limits.nameCharactersMax + 1) })],
    ['an unknown method', ...client({ token_endpoint_auth_method: 'client_secret_jwt' })],
    ['a deletion', ...client({ status: 'deleted' })],
    ['yes in the place of true', ...client({ dpop_bound_access_tokens: 'yes' })],
    ['null in the place of false', ...client({ dpop_bound_access_tokens: null })],
    ['null for never', ...client({ expires_at: null })],
    ['an owner that is too long', ...client({ owner: 'o'.repeat(201) })],
    ['an owner of spaces', ...client({ owner: ' \t' })],
    ['a purpose that is too long', ...client({ purpose: 'p'.repeat(501) })],
    ['a purpose in two lines', ...client({ purpose: 'a\nb' })],
    ['an unknown kind', ...client({ kind: 'robot' })],
    ['a day without a time', ...client({ expires_at: '2027-01-31' })],
    ['a time without a zone', ...client({ expires_at: '2027-01-31T23:59:59' })],
    ['a name as a network', ...client({ allowed_networks: ['localhost'] })],
    ['a network twice', ...client({ allowed_networks: ['::1', '::1'] })],
    ['too many networks', ...client({ allowed_networks: many(51, (n) => `10.0.0.${n}`) })],
    ['one network without a list', ...client({ allowed_networks: '::1' })],
    ['too much access', ...client({ access: many(201, (n) => ({ audience: `urn:${n}`, scopes: [] })) })],
    ['an access without scopes said', ...client({ access: [{ audience: 'urn:a' }] })],
    ['a scope with a space', ...access({ scopes: ['a b'] })],
    ['a scope with a quotation mark', ...access({ scopes: ['a"'] })],
    ['an empty scope', ...access({ scopes: [''] })],
    ['a scope that is too long', ...access({ scopes: ['s'.repeat(limits.scopeCharactersMax + 1)] })],
    ['a scope twice', ...access({ scopes: ['a', 'a'] })],
    ['too many scopes', ...resource({ scopes: many(limits.scopesPerResourceMax + 1, (n) => `s${n}`) })],
    ['a relative audience', ...resource({ audience: '/orders' })],
    ['an audience of two words', ...resource({ audience: 'rabbit mq' })],
    ['a name with a fragment', ...resource({ audience: 'kafka#1' })],
    ['an unknown typ', ...resource({ token_typ: 'jwt' })],
    ['an audience with a fragment', ...resource({ audience: 'urn:a#b' })],
    [
      'an audience that is too long',
      ...resource({ audience: `urn:${'a'.repeat(limits.audienceCharactersMax)}` }),
    ],
    ['no lifetime at all', ...resource({ token_lifetime: 0 })],
    ['half a second', ...resource({ token_lifetime: 0.5 })],
    ['a lifetime past a day', ...resource({ token_lifetime: limits.tokenLifetimeSecondsMax + 1 })],
    ['a lifetime as text', ...resource({ token_lifetime: '300' })],
    ['no algorithm', ...resource({ signing_algorithm: 'none' })],
    ['an unknown key of a registration', 'registration', { client: [] }],
    ['a secret that somebody chose', 'secret', { client_secret: 'hunter2' }],
  ])('%s', (_title, subject, value) => {
    expect(accepts(subject, value)).toEqual({ schema: false, json: false })
  })
})

describe('what JSON Schema has no words for', () => {
  test.each<[title: string, subject: Subject, value: unknown]>([
    ['a day that the calendar does not have', ...client({ expires_at: '2027-02-30T00:00:00Z' })],
    ['bits below the prefix of a network', ...client({ allowed_networks: ['10.0.0.1/8'] })],
    ['a claim of the service', ...client({ claims: { scope: 'all' } })],
    [
      'claims that are too large together',
      ...resource({
        claims: Object.fromEntries(many(9, (n) => [`c${n}`, 'x'.repeat(250)]) as [string, string][]),
      }),
    ],
    ['text that turns around in a claim', ...client({ claims: { a: 'b\u202ec' } })],
    ['a form of the subject for a service of ours', ...resource({ subject_form: 'a:{client_id}' })],
    [
      'a form that makes no SPIFFE ID',
      ...resource({ external: true, subject_form: 'spiffe://A/{client_id}' }),
    ],
  ])('%s', (_title, subject, value) => {
    expect(accepts(subject, value)).toEqual({ schema: false, json: true })
  })

  test('one audience twice', () => {
    const twice = { client_id: 'a', access: many(2, () => ({ audience: 'urn:a', scopes: [] })) }
    expect(validators.get('client')?.(twice)).toBe(true)
    expect(parseClient(twice).mistakes).toEqual([
      { code: 'already_named', path: ['access', 1, 'audience'], value: 'urn:a', first: ['access', 0] },
    ])
  })

  test('one audience twice in a rule, of an issuer alone and in a file', () => {
    const rule = { rule: 'a', client_id: 'b', conditions: [{ claim: 'sub', equals: 'c' }] }
    const twice = {
      issuer: 'https://a.example',
      rules: [{ ...rule, access: many(2, () => ({ audience: 'urn:a', scopes: [] })) }],
    }
    expect(validators.get('issuer')?.(twice)).toBe(true)
    const path = ['rules', 0, 'access', 1, 'audience']
    const found = { code: 'already_named', path, value: 'urn:a', first: path.slice(0, 3).concat(0) }
    expect(parseIssuer(twice).mistakes).toEqual([found])
    const [told] = parseRegistration({ trust: [twice] }).mistakes
    expect(told).toEqual({
      ...found,
      path: ['trust', 0, ...path],
      first: ['trust', 0, 'rules', 0, 'access', 0],
    })
  })

  test('nothing in a registration at all, which only ours says in words', () => {
    expect(validators.get('registration')?.({})).toBe(false)
  })
})

test('every field of the JSON Schema says what it is', () => {
  for (const subject of subjects) {
    const { properties, description } = jsonSchema(subject) as {
      properties: Record<string, { description?: string; items?: { description?: string } }>
      description?: string
    }
    expect(description, subject).toMatch(/\.$/)
    for (const [name, { description: said, items }] of Object.entries(properties)) {
      expect(said ?? items?.description, `${subject}.${name}`).toMatch(/\.$/)
    }
  }
})

test("the database's own checks are no narrower", () => {
  const folder = 'prisma/migrations'
  const sql = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => readFileSync(`${folder}/${name}/migration.sql`, 'utf8'))
    .join('\n')
  const list = (names: readonly string[]): string => names.map((name) => `'${name}'`).join(', ')
  expect(sql).toContain(`CHECK ("status" IN ('active', 'disabled', 'deleted'))`)
  expect(sql).toContain(`CHECK ("client_id" ~ '^[!-~]{1,${limits.clientIdCharactersMax}}$')`)
  const { tokenLifetimeSecondsMin: least, tokenLifetimeSecondsMax: most } = limits
  expect(sql).toContain(`CHECK ("token_lifetime_seconds" BETWEEN ${least} AND ${most})`)
  expect(sql).toContain(`CHECK ("kind" IN (${list(clientKinds)}))`)
  expect(sql).toContain(`length("owner") <= ${limits.ownerCharactersMax} `)
  expect(sql).toContain(`length("purpose") <= ${limits.purposeCharactersMax} `)
  expect(sql).toContain(`CHECK ("signing_algorithm" IN (${list(signingAlgorithms)}))`)
  expect(sql).toContain(`CHECK ("token_typ" IN (${list(tokenTyps)}))`)
  expect(sql).toContain(`DEFAULT '${tokenTyps[0]}'`)
  expect(sql).toContain(`length("subject_form") <= ${limits.subjectFormCharactersMax} `)
})
