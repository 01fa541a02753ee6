/** Rules that ask for more than an assertion: whoever stole one gets nothing with it alone, and the token is bound. */
import { createHash } from 'node:crypto'
import { expect } from 'vitest'
import { applyRegistration } from '../../src/administration/apply.ts'
import { parseRegistration } from '../../src/administration/parse.ts'
import { makeKey, type TestKey } from '../support/assertion.ts'
import { confirmationOf, type ProofChanges, proofOf } from '../support/dpop.ts'
import { sharedTest } from '../support/fixtures.ts'
import { callerOf, mtlsSettings, outcomeOf, recordOf, tokenOver } from '../support/mtls.ts'
import {
  kubernetes,
  type Platform,
  publishedKeys,
  spire,
  type TokenChanges,
  tokenOf,
} from '../support/platforms.ts'
import { createResources, createTestClient, sealedContext } from '../support/sealed.ts'
import { orders, startService } from '../support/service.ts'
import { general, makeCa, makeCertificate, type TestCertificate } from '../support/x509.ts'

const root = makeCa('O=Test,CN=Demands')
const certificateOf = (uri: string, issuer = root) =>
  makeCertificate(issuer, { subject: 'O=Test', names: [general.uri(uri)] })
const workload = 'spiffe://example.org/ns/payments/sa/api'
const own = certificateOf(workload)
const access = [{ audience: orders, scopes: ['orders:read'] }]
const account = (name: string) => [{ claim: 'sub', equals: `system:serviceaccount:payments:${name}` }]

const test = sharedTest.extend('running', { scope: 'file' }, async ({ database }, { onCleanup }) => {
  const many = { MINTMARK_FAILURES_PER_CLIENT_MAX: '100000', MINTMARK_FAILURES_PER_ADDRESS_MAX: '100000' }
  const running = await startService({ database, environment: { ...mtlsSettings(root), ...many } })
  onCleanup(() => running.close())
  const context = { ...sealedContext(running.service.database), sealing: undefined }
  await createResources(context)
  await createTestClient(context, 'billing', { tokenEndpointAuthMethod: 'federated_jwt' })
  await createTestClient(context, 'held', {
    tokenEndpointAuthMethod: 'federated_jwt',
    fapi: true,
    dpopBoundTokens: true,
  })
  const { value, mistakes } = parseRegistration({
    trust: [
      {
        issuer: spire.issuer,
        jwks: { keys: publishedKeys(spire).keys.map((key) => ({ ...key, use: 'sig' })) },
        rules: [
          {
            rule: 'mesh',
            conditions: [{ claim: 'sub', prefix: 'spiffe://example.org/ns/payments/' }],
            access,
            assertion_use: 'until_expiry',
            require_certificate: { tls_client_auth_san_uri: '{sub}' },
          },
          {
            rule: 'held-mesh',
            conditions: [{ claim: 'sub', equals: 'spiffe://example.org/ns/bank/sa/api' }],
            client_id: 'held',
          },
        ],
      },
      {
        issuer: kubernetes.issuer,
        jwks: publishedKeys(kubernetes),
        rules: [
          { rule: 'any', conditions: account('any'), client_id: 'billing', require_dpop: 'any_key' },
          { rule: 'confirmed', conditions: account('confirmed'), access, require_dpop: 'confirmed_key' },
          {
            rule: 'node',
            conditions: account('node'),
            client_id: 'billing',
            require_certificate: { tls_client_auth_san_uri: workload },
            require_dpop: 'any_key',
          },
          // Two that fit: the one asks for a certificate, the other for nothing.
          {
            rule: 'two-bound',
            conditions: account('two'),
            access,
            require_certificate: { tls_client_auth_san_uri: workload },
          },
          { rule: 'two-free', conditions: account('two'), access },
          { rule: 'held-cluster', conditions: account('held'), client_id: 'held' },
        ],
      },
    ],
  })
  expect(mistakes).toEqual([])
  await applyRegistration(context, value as NonNullable<typeof value>)
  const issuer = running.url.replace('http:', 'https:')
  return {
    database,
    issuer,
    async ask(
      platform: Platform,
      changes: TokenChanges,
      { certificate, proofKey, proof }: Brought = {},
      how: 'grant' | 'client' = 'grant',
    ) {
      const assertion = tokenOf(platform, issuer, changes)
      const parameters =
        how === 'grant'
          ? { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }
          : {
              client_assertion: assertion,
              client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
            }
      const headers: Record<string, string> =
        proofKey === undefined ? {} : { dpop: proofOf(proofKey, `${issuer}/token`, proof) }
      const answer = await tokenOver(issuer, parameters, {
        ...(certificate === undefined ? {} : callerOf(certificate)),
        headers,
      })
      const token = answer.body['access_token']
      return {
        answer,
        outcome: await outcomeOf(database, answer),
        confirmation: token === undefined ? undefined : confirmationOf(String(token)),
      }
    },
  }
})

interface Brought {
  readonly certificate?: TestCertificate
  readonly proofKey?: TestKey
  readonly proof?: ProofChanges
}

const thumbprintOf = ({ der }: TestCertificate): string =>
  createHash('sha256').update(der).digest('base64url')
const subject = (name: string, more: Readonly<Record<string, unknown>> = {}): TokenChanges => ({
  claims: { sub: `system:serviceaccount:payments:${name}`, ...more },
})
const key = makeKey('ES256')
const thief = makeKey('ES256')

test('the certificate of the same workload, by both ways; its token is bound to it', async ({ running }) => {
  for (const how of ['grant', 'client'] as const) {
    const { answer, outcome, confirmation } = await running.ask(spire, {}, { certificate: own }, how)
    expect([outcome, confirmation]).toEqual(['issued', { 'x5t#S256': thumbprintOf(own) }])
    const { detail } = (await recordOf(running.database, answer)) ?? {}
    expect(JSON.parse(String(detail))).toMatchObject({
      certificate: thumbprintOf(own),
    })
  }
  const renewed = certificateOf(workload)
  const again = await running.ask(spire, {}, { certificate: renewed })
  expect(again.confirmation).toEqual({ 'x5t#S256': thumbprintOf(renewed) })
  // What it is asked for follows from what the assertion says.
  const neighbour = 'spiffe://example.org/ns/payments/sa/other'
  const other = await running.ask(
    spire,
    { claims: { sub: neighbour } },
    { certificate: certificateOf(neighbour) },
  )
  expect(other.outcome).toBe('issued')
})

test('a stolen assertion without the certificate gives nothing', async ({ running }) => {
  const outcome = async (certificate?: TestCertificate) =>
    (await running.ask(spire, {}, certificate && { certificate })).outcome
  expect(await outcome()).toBe('certificate_missing')
  expect(await outcome(certificateOf('spiffe://example.org/ns/payments/sa/other'))).toBe(
    'certificate_subject_mismatch',
  )
  expect(await outcome(certificateOf(workload, makeCa('O=Test,CN=Demands')))).toBe('certificate_untrusted')
  expect(
    await outcome(makeCertificate(undefined, { subject: 'O=Test', names: [general.uri(workload)] })),
  ).toBe('certificate_untrusted')
  // The refusal is in the words of the grant.
  const { answer } = await running.ask(spire, {})
  expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  // An assertion that names a certificate counts with that one alone.
  const cnf = { 'x5t#S256': thumbprintOf(own) }
  const named = async (certificate: TestCertificate) =>
    (await running.ask(spire, { claims: { cnf } }, { certificate })).outcome
  expect(await named(own)).toBe('issued')
  expect(await named(certificateOf(workload))).toBe('assertion_confirmation_wrong')
})

test('a proof of any key binds the token; of the key that the assertion names, if it names one', async ({
  running,
}) => {
  const outcome = async (changes: TokenChanges, brought: Brought = {}) =>
    (await running.ask(kubernetes, changes, brought)).outcome
  expect(await outcome(subject('any'))).toBe('dpop_proof_missing')
  const { confirmation } = await running.ask(kubernetes, subject('any'), { proofKey: key })
  expect(confirmation).toEqual({ jkt: key.thumbprint })
  const named = subject('any', { cnf: { jkt: key.thumbprint } })
  expect(await outcome(named, { proofKey: thief })).toBe('assertion_confirmation_wrong')
  expect(await outcome(named, { proofKey: key })).toBe('issued')
})

test('of the key that the assertion must name, a thief has none', async ({ running }) => {
  const outcome = async (changes: TokenChanges, brought: Brought = {}) =>
    (await running.ask(kubernetes, changes, brought)).outcome
  const named = (cnf: unknown) => subject('confirmed', { cnf })
  expect(await outcome(named({ jkt: key.thumbprint }), { proofKey: key })).toBe('issued')
  expect(await outcome(named({ jkt: key.thumbprint }), { proofKey: thief })).toBe(
    'assertion_confirmation_wrong',
  )
  expect(await outcome(named({ jkt: key.thumbprint }))).toBe('dpop_proof_missing')
  for (const cnf of [undefined, {}, { jkt: '' }, { jkt: 7 }, 'jkt', [], null]) {
    expect(await outcome(named(cnf), { proofKey: key })).toBe('assertion_confirmation_missing')
  }
})

test('both: the token is bound to both, and one of them is not enough', async ({ running }) => {
  const both = await running.ask(kubernetes, subject('node'), { certificate: own, proofKey: key })
  expect(both.confirmation).toEqual({ 'x5t#S256': thumbprintOf(own), jkt: key.thumbprint })
  expect((await running.ask(kubernetes, subject('node'), { proofKey: key })).outcome).toBe(
    'certificate_missing',
  )
  expect((await running.ask(kubernetes, subject('node'), { certificate: own })).outcome).toBe(
    'dpop_proof_missing',
  )
})

test('if another rule requires nothing, it admits the caller; the token is bound if one of the rules binds it', async ({
  running,
}) => {
  const free = await running.ask(kubernetes, subject('two'))
  expect([free.outcome, free.confirmation]).toEqual(['issued', undefined])
  const bound = await running.ask(kubernetes, subject('two'), { certificate: own })
  expect([bound.outcome, bound.confirmation]).toEqual(['issued', { 'x5t#S256': thumbprintOf(own) }])
})

test('for a client with the FAPI profile an assertion is not signed with RS256, names the issuer alone, and is bound', async ({
  running,
}) => {
  const { ask, database } = running
  const bank: TokenChanges = { claims: { sub: 'spiffe://example.org/ns/bank/sa/api' } }
  const issued = await ask(spire, bank, { proofKey: key })
  expect([issued.outcome, issued.confirmation]).toEqual(['issued', { jkt: key.thumbprint }])
  expect((await ask(spire, bank)).outcome).toBe('dpop_proof_missing')
  expect((await ask(kubernetes, subject('held'), { proofKey: key })).outcome).toBe(
    'assertion_algorithm_unsupported',
  )
  // Somebody changed the rule by hand.
  await database.query(`UPDATE trust_rule SET assertion_audience = 'token_endpoint' WHERE rule = 'held-mesh'`)
  const elsewhere = { claims: { ...bank.claims, aud: `${running.issuer}/token` } }
  expect((await ask(spire, elsewhere, { proofKey: key })).outcome).toBe('assertion_audience_token_endpoint')
})

test('a demand that nobody understands takes the rule away', async ({ running }) => {
  const { database } = running
  await database.query('ALTER TABLE trust_rule DROP CONSTRAINT trust_rule_require_dpop_known')
  await database.query('ALTER TABLE trust_rule DROP CONSTRAINT trust_rule_required_certificate_complete')
  const outcome = async (brought: Brought = {}) =>
    (await running.ask(kubernetes, subject('any'), brought)).outcome
  await database.query(`UPDATE trust_rule SET require_dpop = 'no' WHERE rule = 'any'`)
  expect(await outcome({ proofKey: key })).toBe('assertion_no_rule_fits')
  await database.query(
    `UPDATE trust_rule SET require_dpop = NULL, required_certificate_field = 'tls_client_auth_san_uri' WHERE rule = 'any'`,
  )
  expect(await outcome({ certificate: own })).toBe('assertion_no_rule_fits')
})
