/** The examples in Go run by their one command, against the service and each other. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, test as plainTest } from 'vitest'
import { snippetOf } from '../interop/guides.ts'
import { test } from '../support/fixtures.ts'
import { freePort } from '../support/ports.ts'
import { root, start } from '../support/process.ts'
import { invoices, orders, registerClient } from '../support/service.ts'

const hasGo = spawnSync('go', ['version'], { stdio: 'ignore' }).status === 0

describe('the lines that are run against the libraries stand in the examples', () => {
  plainTest.each([
    ['go/oauth2.go', 'go-caller', 5],
    ['go/go_oidc.go', 'go-verifier', 2],
  ])('%s in examples/%s', (snippet, example, least) => {
    const lines = (text: string): string[] => text.split('\n').map((line) => line.trim())
    const its = new Set(lines(readFileSync(`${root}examples/${example}/main.go`, 'utf8')))
    const common = lines(snippetOf(snippet)).filter((line) => its.has(line) && /\w/.test(line))
    expect(common.length).toBeGreaterThanOrEqual(least)
  })
})

test.skipIf(!hasGo)('examples/go-caller calls examples/go-verifier', async ({ database, service, track }) => {
  const client = await registerClient(database, {
    access: { [orders]: ['orders:read'], [invoices]: ['invoices:read'] },
  })
  const other = await registerClient(database, { access: { [orders]: ['orders:write'] } })
  const address = `127.0.0.1:${await freePort()}`
  // Where Go keeps what it compiled.
  const { HOME = '', GOFLAGS = '' } = process.env
  const shared = { HOME, GOFLAGS, ISSUER: service.url }
  const verifier = track(
    start(`${root}examples/go-verifier/run`, [], {
      environment: { ...shared, ADDRESS: address },
      leadsGroup: true,
    }),
  )
  await verifier.until(() => verifier.output().includes('accepts tokens of'))
  const SERVICE_URL = `http://${address}/orders`
  const call = (its: typeof client, more: Record<string, string> = {}) => {
    const environment = {
      ...shared,
      SERVICE_URL,
      CLIENT_ID: its.clientId,
      CLIENT_SECRET: its.secret,
      ...more,
    }
    return track(start(`${root}examples/go-caller/run`, [], { environment, leadsGroup: true })).outcome
  }
  const line = `{"caller":"${client.clientId}","orders":[]}\n`
  expect(await call(client)).toMatchObject({ code: 0, stdout: line.repeat(2) })
  // One token for both calls.
  const issued = await database.query(
    "SELECT count(*)::int AS count FROM audit_record WHERE outcome = 'issued'",
  )
  expect(issued).toEqual([{ count: 1 }])
  expect(await call(client, { AUDIENCE: invoices })).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('401 Unauthorized: Bearer error="invalid_token"'),
  })
  expect(await call(other)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('403 Forbidden: Bearer error="insufficient_scope", scope="orders:read"'),
  })
  expect(await call({ ...client, secret: 'wrong' })).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('Client authentication failed.'),
  })
  const bare = await fetch(SERVICE_URL)
  expect(bare.status).toBe(401)
})
