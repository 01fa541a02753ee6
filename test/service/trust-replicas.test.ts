/** A stolen assertion, and a rule that was taken away: on two replicas at once, and after a restart. */
import { expect } from 'vitest'
import { applyRegistration } from '../../src/administration/apply.ts'
import { parseRegistration } from '../../src/administration/parse.ts'
import { removeRule, setIssuerStatus } from '../../src/administration/trust-change-store.ts'
import { test } from '../support/fixtures.ts'
import { kubernetes, publishedKeys, tokenOf } from '../support/platforms.ts'
import { createResources, sealedContext } from '../support/sealed.ts'
import { orders, type TestService } from '../support/service.ts'

const issuer = 'https://tokens.example.com'
const environment = {
  MINTMARK_ISSUER: issuer,
  MINTMARK_FAILURES_PER_CLIENT_MAX: '1000',
  MINTMARK_FAILURES_PER_ADDRESS_MAX: '1000',
}

async function trustCluster({ service }: TestService) {
  const context = { ...sealedContext(service.database), sealing: undefined }
  await createResources(context)
  const access = [{ audience: orders, scopes: ['orders:read'] }]
  const conditions = [{ claim: 'sub', prefix: 'system:serviceaccount:payments:' }]
  const { value } = parseRegistration({
    trust: [
      {
        issuer: kubernetes.issuer,
        jwks: publishedKeys(kubernetes),
        rules: [{ rule: 'payments', conditions, access }],
      },
    ],
  })
  await applyRegistration(context, value as NonNullable<typeof value>)
  return context
}

async function ask({ url }: TestService, assertion: string): Promise<number> {
  const form = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }
  return (await fetch(`${url}/token`, { method: 'POST', body: new URLSearchParams(form) })).status
}

test('thirty at once on two replicas: one token; none after a restart; each refusal has its record', async ({
  startService,
  database,
}) => {
  const first = await startService({ environment })
  const second = await startService({ environment })
  await trustCluster(first)
  // With a jti, and without one: then by what was signed.
  for (const claims of [{}, { jti: undefined }]) {
    const stolen = tokenOf(kubernetes, issuer, { claims })
    const statuses = await Promise.all(
      Array.from({ length: 30 }, (_, index) => ask(index % 2 === 0 ? first : second, stolen)),
    )
    // A machine that is too slow for a commit answers 503, and then the assertion may be used up.
    const isSlow = statuses.includes(503)
    expect(statuses.filter((status) => status === 200).length).toBeLessThanOrEqual(1)
    if (!isSlow) expect(statuses.filter((status) => status === 200)).toHaveLength(1)
    expect(new Set(statuses.filter((status) => status !== 503 && status !== 200))).toEqual(new Set([400]))
    const again = await startService({ environment })
    expect(await ask(again, stolen)).not.toBe(200)
    // One that another was made for is as good as ever.
    const fresh = tokenOf(kubernetes, issuer, { claims: { ...claims, made: 'anew' } })
    expect(await ask(again, fresh)).toBe(200)
  }
  const rows = await database.query<{ reason: string }>(
    `SELECT DISTINCT reason FROM audit_record WHERE type = 'token' AND outcome = 'refused' AND reason NOT LIKE 'ledger%'`,
  )
  expect(rows).toEqual([{ reason: 'assertion_replayed' }])
})

test('a removed rule and a disabled issuer give nothing any more, at once, on the other replica too', async ({
  startService,
}) => {
  const first = await startService({ environment })
  const second = await startService({ environment })
  const context = await trustCluster(first)
  for (const service of [first, second]) expect(await ask(service, tokenOf(kubernetes, issuer))).toBe(200)
  await setIssuerStatus(context, kubernetes.issuer, 'disabled')
  expect(await ask(second, tokenOf(kubernetes, issuer))).toBe(400)
  await setIssuerStatus(context, kubernetes.issuer, 'active')
  // Enabled again it counts at once as well: who is refused was looked up.
  expect(await ask(second, tokenOf(kubernetes, issuer))).toBe(200)
  await removeRule(context, 'payments')
  expect(await ask(second, tokenOf(kubernetes, issuer))).toBe(400)
  expect(await ask(first, tokenOf(kubernetes, issuer))).toBe(400)
})
