/** The trust table in the database: registered by a file, read with its version, and believed as far as it was registered. */
import { expect } from 'vitest'
import { applyRegistration } from '../../src/administration/apply.ts'
import { parseRegistration } from '../../src/administration/parse.ts'
import { reviewRegistry, sealRegistry } from '../../src/administration/seal-registry.ts'
import {
  addRule,
  removeIssuer,
  removeRule,
  setIssuerStatus,
} from '../../src/administration/trust-change-store.ts'
import { blockWorkload, listWorkloads, unblockWorkload } from '../../src/administration/workload-store.ts'
import { settleHandChanges } from '../../src/ledger/hand-changes.ts'
import { workloadId } from '../../src/registry/issuer.ts'
import { makeKey } from '../support/assertion.ts'
import { test } from '../support/fixtures.ts'
import { createResources, createTestClient, sealedContext, sealedSetting } from '../support/sealed.ts'
import { orders } from '../support/service.ts'

const github = 'https://token.actions.githubusercontent.com'
const cluster = 'https://kubernetes.default.svc.cluster.local'
const key = makeKey('RS256', 'cluster-1')

const file = (more: object = {}) => ({
  trust: [
    {
      issuer: github,
      rules: [
        {
          rule: 'deploy',
          conditions: [
            { claim: 'repository_id', equals: '74' },
            { claim: 'ref', one_of: ['refs/heads/main'] },
          ],
          client_id: 'billing',
        },
      ],
    },
    {
      issuer: cluster,
      jwks: { keys: [{ ...key.publicJwk, kid: 'cluster-1', use: 'sig', alg: 'RS256' }] },
      rules: [
        {
          rule: 'payments',
          conditions: [{ claim: 'sub', prefix: 'system:serviceaccount:payments:' }],
          access: [{ audience: orders, scopes: ['orders:read'] }],
          token_lifetime: 60,
          ...more,
        },
      ],
    },
  ],
})

const parsed = (value: unknown) => {
  const { value: registration, mistakes } = parseRegistration(value)
  expect(mistakes).toEqual([])
  return registration as NonNullable<typeof registration>
}

test('a sealed registry believes issuers and rules that a holder of the key registered, and no others', async ({
  startService,
  database,
}) => {
  const running = await startService({ environment: sealedSetting })
  const context = sealedContext(running.service.database)
  await createResources(context)
  await createTestClient(context, 'billing')
  const dry = await applyRegistration(context, parsed(file()), { dryRun: true })
  expect(dry.plan.issuers.map(({ status, rules }) => [status, rules.length])).toEqual([
    ['created', 1],
    ['created', 1],
  ])
  expect(await database.query('SELECT * FROM trusted_issuer')).toEqual([])

  await applyRegistration(context, parsed(file()))
  const again = await applyRegistration(context, parsed(file()))
  expect(again.plan.issuers.map(({ status }) => status)).toEqual(['unchanged', 'unchanged'])
  const { believed, said } = await seen()
  expect(believed).toEqual({ [github]: ['deploy'], [cluster]: ['payments'] })
  expect(said).toEqual(['issuer created', 'trust_rule created', 'issuer created', 'trust_rule created'])

  // What gives by hand gives nothing.
  const byHand = (text: string) => database.query(text)
  await byHand(`INSERT INTO trusted_issuer (issuer) VALUES ('https://evil.example.com')`)
  await byHand(`INSERT INTO trust_rule (rule, issuer, conditions, client_id)
                VALUES ('evil', '${github}', '[{"claim":"sub","equals":"x"}]', 'billing')`)
  await byHand(`UPDATE trust_rule SET conditions = '[{"claim":"ref","present":true}]' WHERE rule = 'deploy'`)
  expect((await seen()).believed).toEqual({ [github]: [], [cluster]: ['payments'] })
  await byHand(
    `UPDATE trusted_issuer SET jwks = '[{"kty":"RSA","n":"AQ","e":"AQAB"}]' WHERE issuer = '${cluster}'`,
  )
  expect((await seen()).believed).toEqual({ [github]: [] })
  expect(running.log()).toContain('trust_rule evil')
  const problems = (await reviewRegistry(context)).problems.filter(({ subject }) => subject === 'issuer')
  expect(Object.fromEntries(problems.map(({ id, differences }) => [id, differences]))).toEqual({
    [github]: ['trust_rule deploy', 'trust_rule evil'],
    [cluster]: ['keys'],
    'https://evil.example.com': ['unregistered'],
  })
  // A file that names it makes it right again, whatever the rows say.
  await applyRegistration(context, parsed(file()))
  expect((await seen()).believed).toEqual({ [github]: ['deploy'], [cluster]: ['payments'] })
  // What takes away by hand counts at once.
  await byHand(`DELETE FROM trust_rule WHERE rule = 'payments'`)
  await byHand(`UPDATE trusted_issuer SET status = 'disabled' WHERE issuer = '${github}'`)
  expect((await seen()).believed).toEqual({ [github]: 'disabled', [cluster]: [] })
  await byHand(`DELETE FROM trusted_issuer WHERE issuer = 'https://evil.example.com'`)
  // A block is sealed: its row may be gone. Who deletes it leaves a record.
  const id = workloadId(cluster, 'system:serviceaccount:payments:api')
  await blockWorkload(context, id)
  expect([...(await trustNow()).blocked]).toEqual([id])
  await byHand('DELETE FROM blocked_workload')
  expect([...(await trustNow()).blocked]).toEqual([id])
  await settleHandChanges(running.service.database.statements)
  const [deleted] = await database.query<{ outcome: string; client_id: string }>(
    `SELECT outcome, client_id FROM audit_record WHERE type = 'workload' ORDER BY chain DESC, seq DESC LIMIT 1`,
  )
  expect(deleted).toMatchObject({ outcome: 'changed by hand', client_id: id })
  // Sealed as it stands: what the hands did counts, because an operator looked at it.
  const review = await reviewRegistry(context)
  expect(review.problems).toContainEqual({ subject: 'workload', id, differences: ['unblocked'] })
  await sealRegistry(context, review)
  expect((await trustNow()).blocked.size).toBe(0)
  await applyRegistration(context, parsed(file({ assertion_use: 'until_expiry' })))
  expect((await seen()).believed).toEqual({ [github]: 'disabled', [cluster]: ['payments'] })
  // What a rule asks for beside the assertion is sealed with it.
  const demands = { require_certificate: { tls_client_auth_san_uri: '{sub}' }, require_dpop: 'any_key' }
  await applyRegistration(context, parsed(file(demands)))
  const demanding = await applyRegistration(context, parsed(file(demands)))
  expect(demanding.plan.issuers.map(({ status }) => status)).toEqual(['unchanged', 'unchanged'])
  expect((await seen()).believed).toMatchObject({ [cluster]: ['payments'] })
  await byHand('UPDATE trust_rule SET require_dpop = NULL')
  expect((await seen()).believed).toMatchObject({ [cluster]: [] })
  await byHand(
    `UPDATE trust_rule SET require_dpop = 'any_key', required_certificate_value = 'spiffe://td/a' WHERE rule = 'payments'`,
  )
  expect((await seen()).believed).toMatchObject({ [cluster]: [] })

  async function trustNow() {
    const registry = running.service.registry
    await registry.refresh()
    return await registry.trust()
  }

  async function seen() {
    const { issuers } = await trustNow()
    const believed = Object.fromEntries(
      [...issuers.values()].map(({ issuer, status, rules }) => [
        issuer,
        status === 'disabled' ? status : rules.map(({ rule }) => rule),
      ]),
    )
    const records = await database.query<{ said: string }>(
      `SELECT type || ' ' || outcome AS said FROM audit_record WHERE type IN ('issuer', 'trust_rule')
        AND outcome <> 'changed by hand' ORDER BY chain, seq`,
    )
    return { believed, said: records.map(({ said }) => said) }
  }
})

test.for([
  ['before', [cluster, github]],
  ['behind', [github, cluster]],
] as const)(
  'a rule moves to an issuer that stands %s its own one in the file, and the ledger says it last',
  async ([, order], { service, database }) => {
    const context = { ...sealedContext(service.service.database), sealing: undefined }
    await createResources(context)
    const rule = {
      rule: 'pay',
      conditions: [{ claim: 'sub', prefix: 'system:serviceaccount:payments:' }],
      access: [{ audience: orders, scopes: [] }],
    }
    const told = (holder: string) =>
      parsed({ trust: order.map((issuer) => ({ issuer, rules: issuer === holder ? [rule] : [] })) })
    await applyRegistration(context, told(github))
    await applyRegistration(context, told(cluster))
    expect(await database.query('SELECT rule, issuer FROM trust_rule')).toEqual([
      { rule: 'pay', issuer: cluster },
    ])
    const again = await applyRegistration(context, told(cluster), { dryRun: true })
    expect(again.plan.issuers.map(({ status }) => status)).toEqual(['unchanged', 'unchanged'])
    const said = await database.query<{ outcome: string }>(
      `SELECT outcome FROM audit_record WHERE type = 'trust_rule' ORDER BY chain, seq`,
    )
    expect(said.map(({ outcome }) => outcome)).toEqual(['created', 'deleted', 'created'])
  },
)

test('one change at a time: rules are added and removed, issuers disabled and enabled, workloads blocked; each has its record', async ({
  service,
  database,
}) => {
  const context = { ...sealedContext(service.service.database), sealing: undefined }
  await createResources(context)
  await createTestClient(context, 'billing')
  const rule = {
    rule: 'deploy',
    conditions: [{ claim: 'repository_id', equals: '74' }],
    client_id: 'billing',
  }
  expect((await addRule(context, github, undefined, rule)).status).toBe('created')
  await expect(addRule(context, github, undefined, rule)).rejects.toMatchObject({ code: 'rule_exists' })
  await expect(addRule(context, cluster, undefined, rule)).rejects.toMatchObject({
    fields: { mistakes: [{ code: 'rule_named_elsewhere', path: ['trust', 0, 'rules', 0, 'rule'] }] },
  })
  await expect(
    addRule(context, github, undefined, { ...rule, rule: 'other', client_id: 'billng' }),
  ).rejects.toMatchObject({ fields: { mistakes: [{ code: 'rule_client_unknown', nearest: 'billing' }] } })
  expect(await setIssuerStatus(context, github, 'disabled')).toBe(true)
  expect(await setIssuerStatus(context, github, 'disabled')).toBe(false)
  expect(await setIssuerStatus(context, github, 'active')).toBe(true)
  expect(await removeRule(context, 'deploy')).toEqual({ issuer: github })
  await expect(removeRule(context, 'deplyo')).rejects.toMatchObject({ code: 'rule_not_found' })
  await addRule(context, github, { jwks_uri: 'https://keys.example.com/jwks' }, rule)
  expect(await removeIssuer(context, github)).toEqual({ rules: ['deploy'] })
  await expect(removeIssuer(context, github)).rejects.toMatchObject({ code: 'issuer_not_found' })
  const id = workloadId(cluster, 'system:serviceaccount:payments:api')
  expect([await blockWorkload(context, id), await blockWorkload(context, id)]).toEqual([true, false])
  expect(await listWorkloads(service.service.database.prisma, 10)).toMatchObject([
    { workloadId: id, issuer: undefined },
  ])
  expect([...(await service.service.registry.trust()).blocked]).toEqual([id])
  expect([await unblockWorkload(context, id), await unblockWorkload(context, id)]).toEqual([true, false])

  // Commands leave no note that a hand made the change; hands do.
  expect(await settleHandChanges(service.service.database.statements)).toBe(0)
  await database.query(`INSERT INTO trusted_issuer (issuer) VALUES ('https://idp.example.com')`)
  await settleHandChanges(service.service.database.statements)
  const records = await database.query<{ said: string; credential: string | null }>(
    `SELECT type || ' ' || outcome AS said, credential_id AS credential FROM audit_record
      WHERE type IN ('issuer', 'trust_rule', 'workload') ORDER BY chain, seq`,
  )
  expect(records.map(({ said, credential }) => `${said} ${credential ?? ''}`.trim())).toEqual([
    `issuer created ${github}`,
    'trust_rule created deploy',
    `issuer disabled ${github}`,
    `issuer enabled ${github}`,
    'trust_rule deleted deploy',
    `issuer changed ${github}`,
    'trust_rule created deploy',
    'trust_rule deleted deploy',
    `issuer deleted ${github}`,
    'workload blocked',
    'workload unblocked',
    'issuer changed by hand https://idp.example.com',
  ])
})
