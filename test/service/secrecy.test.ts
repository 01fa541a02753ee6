import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  basic,
  registerClient,
  requestToken,
  startService,
  type TestClient,
  type TestService,
} from '../support/service.ts'

/** The canary: after good and bad requests of every kind, what must stay secret is nowhere in clear. */

let running: TestService
let client: TestClient
const canaries = new Map<string, string>()

beforeAll(async () => {
  running = await startService()
  client = await registerClient(running.database)
  canaries.set('the secret', client.secret)
  canaries.set('most of the secret', client.secret.slice(11, -6))
  const issued = (await (await requestToken(running.url, client)).json()) as { access_token: string }
  canaries.set('the token', issued.access_token)
  canaries.set("the token's signature", issued.access_token.split('.')[2] as string)
  for (const [index, send] of hostile.entries()) {
    const canary = `canary${index}Zq9xW7vT`
    canaries.set(`what request ${index} carried`, canary)
    await send(canary)
  }
})

afterAll(() => running.close())

const form = { 'content-type': 'application/x-www-form-urlencoded' }

const post = (body: string, headers: Record<string, string> = {}, path = '/token') =>
  fetch(`${running.url}${path}`, { method: 'POST', headers: { ...form, ...headers }, body })

/** Each puts a secret somewhere it may be sent, rightly or wrongly. */
const hostile: readonly ((canary: string) => Promise<Response>)[] = [
  (canary) => post('grant_type=client_credentials', { authorization: basic(client.clientId, canary) }),
  (canary) => post(`grant_type=client_credentials&client_id=${client.clientId}&client_secret=${canary}`),
  (canary) => post(`grant_type=client_credentials;client_id=a;client_secret=${canary}`),
  (canary) => post(`grant_type=client_credentials&client_secret=${canary}&client_secret=${canary}`),
  (canary) => post('grant_type=client_credentials', {}, `/token?client_secret=${canary}`),
  (canary) => post(`grant_type=password&username=u&password=${canary}`),
  (canary) => post('grant_type=client_credentials', { authorization: `Bearer ${canary}` }),
  (canary) => post('grant_type=client_credentials', { authorization: canary }),
  (canary) => post('grant_type=client_credentials', { authorization: `Basic ${canary}` }),
  (canary) => post('grant_type=client_credentials', { cookie: `session=${canary}`, 'x-api-key': canary }),
  (canary) => post(`client_assertion=${canary}&client_assertion_type=x&grant_type=client_credentials`),
  (canary) => post(`{"client_secret":"${canary}"}`, { 'content-type': 'application/json' }),
  (canary) => post(`client_secret=%zz${canary}`),
  (canary) => fetch(`${running.url}/nowhere?secret=${canary}`),
  (canary) =>
    fetch(`${running.url}/.well-known/jwks.json?secret=${canary}`, { headers: { authorization: canary } }),
]

test('a whole secret in the place of something else is cut down to its id, in ledger and log', async () => {
  const { secret, secretId } = client
  const misplaced: readonly (() => Promise<Response>)[] = [
    () => post('grant_type=client_credentials', { authorization: basic(secret, client.clientId) }),
    () => post(`grant_type=client_credentials&client_id=${secret}&client_secret=x`),
    () => post(`grant_type=${secret}`),
    () => post(`grant_type=client_credentials&client_id=a&client_secret=b&scope=${secret}`),
    () => post(`grant_type=client_credentials&client_id=a&client_secret=b&resource=https://x/${secret}`),
    () => post('grant_type=x', { 'user-agent': `probe ${secret}` }),
  ]
  for (const send of misplaced) expect((await send()).status).toBeGreaterThanOrEqual(400)
  expect(running.log().includes(secret)).toBe(false)
  const text = await dump()
  expect(text.includes(secret)).toBe(false)
  expect(text).toContain(`mm_${secretId}…`)
})

test('not in the log', () => {
  const log = running.log()
  expect(log).toContain('"event":"request"')
  for (const [what, canary] of canaries) expect(log.includes(canary), what).toBe(false)
})

test('not in the database, in any column of any table', async () => {
  await expect.poll(async () => await dump()).toContain('authentication_missing')
  const text = await dump()
  for (const [what, canary] of canaries) expect(text.includes(canary), what).toBe(false)
  expect(text).not.toMatch(/PRIVATE KEY/)
})

async function dump(): Promise<string> {
  const tables = await running.database.query<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`,
  )
  const texts = await Promise.all(
    tables.map(({ name }) => running.database.query(`SELECT t::text AS row FROM "${name}" t`)),
  )
  return JSON.stringify(texts)
}

test('the private key is sealed: its bytes do not open as a key', async () => {
  const { createPrivateKey } = await import('node:crypto')
  const rows = await running.database.query<{ sealed: Buffer }>(
    'SELECT sealed_private_key AS sealed FROM signing_key',
  )
  expect(rows).toHaveLength(1)
  for (const offset of [0, 1, 13, 29]) {
    const key = rows[0]?.sealed.subarray(offset) as Buffer
    expect(() => createPrivateKey({ key, format: 'der', type: 'pkcs8' })).toThrow()
  }
})
