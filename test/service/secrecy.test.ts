import { expect } from 'vitest'
import { sharedTest } from '../support/fixtures.ts'
import {
  basic,
  registerClient,
  requestToken,
  startService,
  type TestClient,
  type TestService,
} from '../support/service.ts'

/** The canary: after good and bad requests of every kind, what must stay secret is nowhere in clear. */

/** A service that has had all these requests, and what each carried. */
const test = sharedTest
  .extend('running', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const running = await startService({ database })
    onCleanup(() => running.close())
    return running
  })
  .extend('client', { scope: 'file' }, ({ database }) => registerClient(database))
  .extend('canaries', { scope: 'file' }, async ({ running, client }) => {
    const canaries = new Map<string, string>()
    canaries.set('the secret', client.secret)
    canaries.set('most of the secret', client.secret.slice(11, -6))
    const issued = (await (await requestToken(running.url, client)).json()) as { access_token: string }
    canaries.set('the token', issued.access_token)
    canaries.set("the token's signature", issued.access_token.split('.')[2] as string)
    for (const [index, send] of hostile.entries()) {
      const canary = `canary${index}Zq9xW7vT`
      canaries.set(`what request ${index} carried`, canary)
      await send({ url: running.url, client }, canary)
    }
    return canaries
  })

interface Target {
  readonly url: string
  readonly client: TestClient
}

const form = { 'content-type': 'application/x-www-form-urlencoded' }

const post = (
  { url }: Pick<Target, 'url'>,
  body: string,
  headers: Record<string, string> = {},
  path = '/token',
) => fetch(`${url}${path}`, { method: 'POST', headers: { ...form, ...headers }, body })

/** Each puts a secret somewhere it may be sent, rightly or wrongly. */
const hostile: readonly ((target: Target, canary: string) => Promise<Response>)[] = [
  (target, canary) =>
    post(target, 'grant_type=client_credentials', { authorization: basic(target.client.clientId, canary) }),
  (target, canary) =>
    post(target, `grant_type=client_credentials&client_id=${target.client.clientId}&client_secret=${canary}`),
  (target, canary) => post(target, `grant_type=client_credentials;client_id=a;client_secret=${canary}`),
  (target, canary) =>
    post(target, `grant_type=client_credentials&client_secret=${canary}&client_secret=${canary}`),
  (target, canary) => post(target, 'grant_type=client_credentials', {}, `/token?client_secret=${canary}`),
  (target, canary) => post(target, `grant_type=password&username=u&password=${canary}`),
  (target, canary) => post(target, 'grant_type=client_credentials', { authorization: `Bearer ${canary}` }),
  (target, canary) => post(target, 'grant_type=client_credentials', { authorization: canary }),
  (target, canary) => post(target, 'grant_type=client_credentials', { authorization: `Basic ${canary}` }),
  (target, canary) =>
    post(target, 'grant_type=client_credentials', { cookie: `session=${canary}`, 'x-api-key': canary }),
  (target, canary) =>
    post(target, `client_assertion=${canary}&client_assertion_type=x&grant_type=client_credentials`),
  (target, canary) => post(target, `{"client_secret":"${canary}"}`, { 'content-type': 'application/json' }),
  (target, canary) => post(target, `client_secret=%zz${canary}`),
  ({ url }, canary) => fetch(`${url}/nowhere?secret=${canary}`),
  ({ url }, canary) =>
    fetch(`${url}/.well-known/jwks.json?secret=${canary}`, { headers: { authorization: canary } }),
]

test('a whole secret in the place of something else is cut down to its id, in ledger and log', async ({
  client,
  running,
}) => {
  const { secret, secretId } = client
  const misplaced: readonly (() => Promise<Response>)[] = [
    () => post(running, 'grant_type=client_credentials', { authorization: basic(secret, client.clientId) }),
    () => post(running, `grant_type=client_credentials&client_id=${secret}&client_secret=x`),
    () => post(running, `grant_type=${secret}`),
    () => post(running, `grant_type=client_credentials&client_id=a&client_secret=b&scope=${secret}`),
    () =>
      post(running, `grant_type=client_credentials&client_id=a&client_secret=b&resource=https://x/${secret}`),
    () => post(running, 'grant_type=x', { 'user-agent': `probe ${secret}` }),
  ]
  for (const send of misplaced) expect((await send()).status).toBeGreaterThanOrEqual(400)
  expect(running.log().includes(secret)).toBe(false)
  const text = await dump(running)
  expect(text.includes(secret)).toBe(false)
  expect(text).toContain(`mm_${secretId}…`)
})

/** How a secret is written that somebody put into the wrong place, or copied badly. */
const spellings: readonly ((secret: string) => string)[] = [
  (secret) => secret.slice(0, -1),
  (secret) => secret.slice(1),
  (secret) => secret.slice('mm_'.length),
  (secret) => secret.slice('mm_k3v9x2ab'.length),
  (secret) => secret.slice(0, 40),
  (secret) => secret.slice(-30),
  (secret) => `${secret.slice(0, 30)}\n${secret.slice(30)}`,
  (secret) => `${secret.slice(0, 30)} ${secret.slice(30)}`,
  (secret) => `"${secret}"`,
  (secret) => `billing:${secret}`,
  (secret) => `billing-${secret.toLowerCase()}`,
  (secret) => secret.toUpperCase(),
  (secret) => [...secret].reverse().join(''),
  (secret) => secret.replace(/[a-z]/g, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
  (secret) => encodeURIComponent(`${secret}\r\n`),
  (secret) => Buffer.from(`billing:${secret}`).toString('base64'),
  (secret) => Buffer.from(`billing:${secret}`).toString('base64url').slice(4, -4),
  (secret) => Buffer.from(secret).toString('hex'),
  (secret) => `https://billing:${secret}@orders.example.com/`,
  (secret) => `https://orders.example.com/${secret.slice(5)}`,
]

test('no part of a secret is kept, however it is written and wherever it is sent', async ({
  client,
  running,
}) => {
  const { secret } = client
  const answers: string[] = []
  for (const spelling of spellings.map((write) => write(secret))) {
    const value = encodeURIComponent(spelling)
    const header = spelling.replaceAll('\n', ' ')
    const sent = [
      post(running, `grant_type=client_credentials&client_id=${value}&client_secret=x`),
      post(running, 'grant_type=client_credentials', { authorization: basic(spelling, client.clientId) }),
      post(running, `grant_type=client_credentials&client_id=a&client_secret=b&client_id=${value}`),
      post(
        running,
        `grant_type=${value}&client_id=a&client_secret=b&scope=${value}&resource=${value}&audience=${value}`,
        { 'user-agent': header },
        `/token?${value}`,
      ),
      post(running, `grant_type=${value}&scope=${value}&audience=${value}`, {
        'user-agent': `probe/1 ${header}`,
      }),
      fetch(`${running.url}/${value}`, { headers: { 'user-agent': header } }),
      fetch(`${running.url}/.well-known/jwks.json`, {
        headers: { 'mintmark-verifier': header, 'user-agent': header },
      }),
    ]
    for (const answer of await Promise.all(sent)) answers.push(await answer.text())
  }
  const kept = `${running.log()}${await dump(running)}${answers.join('')}`
  const body = secret.slice('mm_k3v9x2ab'.length, -6)
  const written = [body, body.toLowerCase(), body.toUpperCase(), [...body].reverse().join('')]
  for (const text of [...written, ...[body, secret].map((each) => Buffer.from(each).toString('hex'))])
    for (let start = 0; start + 12 <= text.length; start += 1)
      expect(kept.includes(text.slice(start, start + 12)), text.slice(start, start + 12)).toBe(false)
})

test('not in the log', ({ canaries, running }) => {
  const log = running.log()
  expect(log).toContain('"event":"request"')
  for (const [what, canary] of canaries) expect(log.includes(canary), what).toBe(false)
})

test('not in the database, in any column of any table', async ({ canaries, running }) => {
  await expect.poll(async () => await dump(running)).toContain('authentication_missing')
  const text = await dump(running)
  for (const [what, canary] of canaries) expect(text.includes(canary), what).toBe(false)
  expect(text).not.toMatch(/PRIVATE KEY/)
})

async function dump(running: TestService): Promise<string> {
  const tables = await running.database.query<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`,
  )
  const texts = await Promise.all(
    tables.map(({ name }) => running.database.query(`SELECT t::text AS row FROM "${name}" t`)),
  )
  return JSON.stringify(texts)
}

test('the private key is sealed: its bytes do not open as a key', async ({ running }) => {
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
