/**
 * The recipes of docs/guides/accepted-elsewhere.md are seed files. The tokens that the service makes by them are what clouds and
 * others say that they accept. Nobody outside is called.
 */
import { readFileSync } from 'node:fs'
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { applyRegistration } from '../../src/administration/apply.ts'
import { parseRegistryFile } from '../../src/administration/registry-file.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { consumers, type DocumentedRule, type Minted } from '../support/accepted-elsewhere.ts'
import { requestTokenPatiently, startService, type TestService } from '../support/service.ts'

const guide = readFileSync('docs/guides/accepted-elsewhere.md', 'utf8')
const recipes = new Map(
  [...guide.matchAll(/<!-- a test reads this: (\w+) -->\n```yaml\n([\s\S]*?)```/g)].map(
    ([, name = '', text = '']) => [name, text],
  ),
)
const issuer = 'https://tokens.example.com'

let service: TestService

beforeAll(async () => {
  service = await startService({
    environment: { MINTMARK_ISSUER: issuer, MINTMARK_SIGNING_ALGORITHMS: 'ES256,RS256' },
  })
})
afterAll(() => service.close())

const document = async (path: string) =>
  (await (await fetch(`${service.url}/.well-known/${path}`)).json()) as Record<string, unknown>

async function mint(name: string): Promise<Minted> {
  const registration = parseRegistryFile(recipes.get(name) ?? '', 'accepted-elsewhere.md')
  const { secrets } = await applyRegistration(
    { database: service.service.database, clock: systemClock, actor: { by: 'a test' }, tagMaker: undefined },
    registration,
  )
  const [client] = secrets
  const audience = registration.resources[0]?.audience ?? ''
  const response = await requestTokenPatiently(service.url, { clientId: '', secret: '', ...client })
  const { access_token: token = '' } = (await response.json()) as { access_token?: string }
  const { keys } = (await document('jwks.json')) as { keys: Record<string, unknown>[] }
  // What nobody can verify is accepted nowhere.
  await jwtVerify(token, createLocalJWKSet({ keys } as never), { issuer, audience })
  return {
    token,
    keys,
    header: { ...decodeProtectedHeader(token) },
    claims: decodeJwt(token),
    metadata: await document('openid-configuration'),
    expected: { issuer, audience, subject: consumers[name]?.subject ?? '' },
  }
}

test('every recipe has its consumer', () => {
  expect([...recipes.keys()]).toEqual(Object.keys(consumers))
})

describe.each(Object.entries(consumers))('%s', (name, { subject, rules }) => {
  let minted: Minted
  beforeAll(async () => {
    minted = await mint(name)
  })

  test.each(rules.map((rule) => [rule.says, rule] as const))(
    '%s',
    (_, { source, holds, broken }: DocumentedRule) => {
      expect(guide).toContain(source)
      expect(holds(minted)).toBe(true)
      expect(holds(broken(minted))).toBe(false)
    },
  )

  test('the guide says which subject the other side has to expect, and the ledger has it', async () => {
    expect(minted.claims['sub']).toBe(subject)
    const [record] = await service.database.query<{ detail: string | null }>(
      'SELECT detail FROM audit_record WHERE jti = $1',
      [minted.claims['jti']],
    )
    const id = minted.claims['client_id']
    expect((JSON.parse(record?.detail ?? '{}') as { sub?: string }).sub ?? id).toBe(subject)
    expect(guide).toContain(subject)
  })
})

test('rows that nobody could register give no token, and no other claim', async () => {
  const registration = parseRegistryFile(recipes.get('azure') ?? '', 'accepted-elsewhere.md')
  const [client] = registration.clients
  const context = {
    database: service.service.database,
    clock: systemClock,
    actor: { by: 'a test' },
    tagMaker: undefined,
  }
  const { secrets } = await applyRegistration(context, {
    ...registration,
    clients: [{ ...client, clientId: 'by-hand', name: 'by-hand' } as NonNullable<typeof client>],
  })
  const reason = async (): Promise<string | undefined> => {
    const [made] = secrets
    await requestTokenPatiently(service.url, { clientId: '', secret: '', ...made })
    const rows = await service.database.query<{ reason: string | null }>(
      `SELECT reason FROM audit_record WHERE client_id = 'by-hand' AND type = 'token' ORDER BY chain DESC, seq DESC LIMIT 1`,
    )
    return rows[0]?.reason ?? undefined
  }
  const sql = (text: string) => service.database.query(text)
  expect(await reason()).toBeUndefined()
  await sql(`UPDATE client SET claims = '{"iss": "https://evil.example.com"}' WHERE client_id = 'by-hand'`)
  expect(await reason()).toBe('registration_unreadable')
  await sql(`UPDATE client SET claims = '{"tenant": "a"}' WHERE client_id = 'by-hand'`)
  await sql(`UPDATE resource SET claims = '{"tenant": "b"}' WHERE audience = 'api://AzureADTokenExchange'`)
  expect(await reason()).toBe('claims_contradictory')
  await sql(`UPDATE resource SET claims = '{"scope": "all"}' WHERE audience = 'api://AzureADTokenExchange'`)
  expect(await reason()).toBe('claims_contradictory')
  await sql(
    `UPDATE resource SET claims = NULL, subject_form = 'spiffe://A/{client_id}' WHERE audience = 'api://AzureADTokenExchange'`,
  )
  expect(await reason()).toBe('subject_unfit')
  // The database refuses what would give all clients one subject, or a service of ours another one.
  for (const change of [`subject_form = 'admin'`, 'external = false', `claims = '[]'`]) {
    const changed = sql(`UPDATE resource SET ${change} WHERE audience = 'api://AzureADTokenExchange'`)
    await expect(changed).rejects.toThrow('violates check constraint')
  }
})
