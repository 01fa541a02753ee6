/** The tokens of the service at relying services: every algorithm, both types, and the example that a reader starts with. */
import { writeFileSync } from 'node:fs'
import { createVerifier, type VerifierOptions, type VerifyEvent } from '@mintmark/verifier'
import { describe, expect } from 'vitest'
import { buildInventory } from '../../examples/fastify-inventory/inventory.js'
import { succeeding } from '../support/command.ts'
import { test as base } from '../support/fixtures.ts'
import { root } from '../support/process.ts'
import { requestToken } from '../support/service.ts'

interface Report {
  readonly clients: readonly { readonly client_id: string; readonly client_secret: string }[]
}

const test = base
  /** Applies a file, and returns the secrets that it made, by client id. */
  .extend('register', ({ run }) => {
    return async (file: string): Promise<Record<string, string>> => {
      const { clients }: Report = JSON.parse(await succeeding(run)('seed', file, '--json'))
      return Object.fromEntries(clients.map(({ client_id, client_secret }) => [client_id, client_secret]))
    }
  })

async function tokenFor(url: string, clientId: string, secret = '', resource = ''): Promise<string> {
  const response = await requestToken(url, { clientId, secret }, { resource })
  const { access_token } = (await response.json()) as { access_token: string }
  return access_token
}

const registry = `
resources:
  - {audience: 'https://es256.example.com', scopes: [a, b]}
  - {audience: 'https://eddsa.example.com', scopes: [a, b], signing_algorithm: EdDSA}
  - {audience: 'https://ps256.example.com', scopes: [a, b], signing_algorithm: PS256}
  - {audience: 'https://rs256.example.com', scopes: [a, b], signing_algorithm: RS256}
  - {audience: 'https://jwt.example.com', scopes: [a, b], token_typ: JWT}
clients:
  - client_id: billing
    access:
${['es256', 'eddsa', 'ps256', 'rs256', 'jwt'].map((name) => `      - {audience: 'https://${name}.example.com', scopes: [a]}`).join('\n')}
`

describe('the verifier', () => {
  test('accepts each token of the service where it is meant, and nowhere else', async ({
    database,
    files,
    register,
    startService,
  }) => {
    writeFileSync(files.path('registry.yaml'), registry)
    const { billing } = await register(files.path('registry.yaml'))
    const { url, close } = await startService({
      environment: { MINTMARK_SIGNING_ALGORITHMS: 'ES256,EdDSA,PS256,RS256' },
    })
    const resources: Record<string, Partial<VerifierOptions>> = {
      'https://es256.example.com': {},
      'https://eddsa.example.com': { algorithms: ['EdDSA'] },
      'https://ps256.example.com': { algorithms: ['PS256'] },
      'https://rs256.example.com': { algorithms: ['RS256'] },
      'https://jwt.example.com': { type: 'JWT' },
    }
    const tokens = new Map<string, string>()
    for (const audience of Object.keys(resources))
      tokens.set(audience, await tokenFor(url, 'billing', billing, audience))
    for (const [audience, options] of Object.entries(resources)) {
      const verifier = createVerifier({ issuer: url, audience, name: new URL(audience).hostname, ...options })
      for (const [meant, token] of tokens) {
        const verified = verifier.verify(token, { scope: 'a' })
        if (meant === audience)
          expect(await verified).toMatchObject({ sub: 'billing', aud: audience, scope: 'a' })
        else await expect(verified, `${meant} at ${audience}`).rejects.toMatchObject({ status: 401 })
      }
      const lacking = verifier.verify(tokens.get(audience) ?? '', { scope: 'b' })
      await expect(lacking).rejects.toMatchObject({ code: 'scope_insufficient' })
    }
    // What fetched is written when the service ends, at the latest.
    await close()
    const named = await database.query('SELECT name FROM verifier WHERE named ORDER BY name')
    expect(named).toEqual(
      ['eddsa', 'es256', 'jwt', 'ps256', 'rs256'].map((name) => ({ name: `${name}.example.com` })),
    )
  })
})

test('examples/fastify-inventory does what its page says', async ({
  onTestFinished,
  register,
  startService,
}) => {
  const { dashboard, shop } = await register(`${root}examples/clients.yaml`)
  const { url } = await startService()
  const audience = 'https://inventory.example.com'
  const lines: string[] = []
  const stream = { write: (line: string): unknown => lines.push(line) }
  const app = buildInventory({ issuer: url, audience, logger: { stream } })
  onTestFinished(() => app.close())
  const authorized = async (clientId: string, secret?: string) => ({
    authorization: `Bearer ${await tokenFor(url, clientId, secret, audience)}`,
  })

  const mayRead = await authorized('dashboard', dashboard)
  const read = await app.inject({ url: '/items', headers: mayRead })
  expect([read.statusCode, read.json()]).toEqual([200, { bolts: 400, nuts: 350 }])

  const take = { method: 'POST', url: '/items/bolts/take' } as const
  const refused = await app.inject({ ...take, headers: mayRead })
  expect([refused.statusCode, refused.headers['www-authenticate']]).toEqual([
    403,
    expect.stringContaining('error="insufficient_scope"'),
  ])
  const taken = await app.inject({ ...take, headers: await authorized('shop', shop) })
  expect([taken.statusCode, taken.json()]).toEqual([200, { left: 399, takenBy: 'shop' }])

  const bare = await app.inject('/items')
  expect(bare.statusCode).toBe(401)
  const [, metadata = ''] = /resource_metadata="([^"]+)"/.exec(String(bare.headers['www-authenticate'])) ?? []
  const document = await app.inject(new URL(metadata).pathname)
  expect(document.json()).toMatchObject({ resource: audience, authorization_servers: [url] })

  const events = lines.map((line): VerifyEvent & { msg: string } => JSON.parse(line))
  const told = events
    .filter(({ msg }) => msg === 'token')
    .map(({ outcome, sub, path }) => [outcome, sub, path])
  expect(told).toEqual([
    ['verified', 'dashboard', '/items'],
    ['scope_insufficient', 'dashboard', '/items/bolts/take'],
    ['verified', 'shop', '/items/bolts/take'],
    ['token_missing', undefined, '/items'],
  ])
})
