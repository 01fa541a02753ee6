/** The example in Spring Boot, built and started by its one command, beside the running service. */
import { spawnSync } from 'node:child_process'
import { expect, test as plainTest } from 'vitest'
import { createTokenSource } from '../../packages/client/src/index.ts'
import { test } from '../support/fixtures.ts'
import { freePort } from '../support/ports.ts'
import { root, start } from '../support/process.ts'
import { invoices, orders, registerClient } from '../support/service.ts'

const lacks = ['mvn', 'java'].find((program) => spawnSync(program, ['-version']).status !== 0)

/** Maven cannot get what the example needs, and has not got it from before. */
const unreachable =
  /Could not (resolve|transfer)|Unknown host|Network is unreachable|Connection (refused|timed out)/

if (lacks !== undefined)
  plainTest(`NOT TESTED: examples/spring-orders, because there is no ${lacks}`, () => {})

test.skipIf(lacks !== undefined)('examples/spring-orders', async ({ database, service, track, skip }) => {
  const client = await registerClient(database, {
    access: { [orders]: ['orders:read', 'orders:write'], [invoices]: ['invoices:read'] },
  })
  const port = String(await freePort())
  // Where Maven keeps what it has.
  const { HOME = '', MAVEN_OPTS = '' } = process.env
  const environment = { HOME, MAVEN_OPTS, ISSUER: service.url, PORT: port }
  const spring = track(start(`${root}examples/spring-orders/run`, [], { environment, leadsGroup: true }))
  let hasEnded = false
  void spring.outcome.then(() => {
    hasEnded = true
  })
  await spring.until(
    () => spring.output().includes('Started Orders') || (hasEnded && unreachable.test(spring.output())),
  )
  if (hasEnded) skip('Maven does not reach what Spring Boot is made of')

  const url = `http://127.0.0.1:${port}`
  const source = (dpop = false) =>
    createTokenSource({ issuer: service.url, clientId: client.clientId, clientSecret: client.secret, dpop })
  const call = async (token?: string, path = '/orders') => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const response = await fetch(`${url}${path}`, { headers })
    return [response.status, response.headers.get('www-authenticate') ?? (await response.text())]
  }
  const token = await source().token(orders, 'orders:read')
  expect(JSON.parse(String((await call(token))[1]))).toEqual({ caller: client.clientId, orders: [] })
  expect(await call()).toEqual([401, expect.stringMatching(/^Bearer/)])
  expect(await call(`${token.slice(0, -4)}AAAA`)).toEqual([401, expect.stringContaining('invalid_token')])
  const foreign = await source().token(invoices)
  expect(await call(foreign)).toEqual([401, expect.stringContaining('invalid_token')])
  const writing = await source().token(orders, 'orders:write')
  expect(await call(writing)).toEqual([403, expect.stringContaining('insufficient_scope')])
  expect((await call(token, '/other'))[0]).toBe(403)
  // Bound to a key, and shown as if it were not (RFC 9449 §7.2).
  expect((await call(await source(true).token(orders, 'orders:read')))[0]).toBe(401)

  // From a bare 401 (RFC 9728), with the document of Spring.
  const discovering = source().fetchDiscovering({ origins: [url], audiences: [orders] })
  expect((await discovering(`${url}/orders`)).status).toBe(200)

  // Of the same audience and with a right signature, but no access token.
  await database.query(`UPDATE resource SET token_typ = 'JWT' WHERE audience = $1`, [orders])
  const typed = await source().token(orders, 'orders:read')
  expect(await call(typed)).toEqual([401, expect.stringContaining('invalid_token')])
})
