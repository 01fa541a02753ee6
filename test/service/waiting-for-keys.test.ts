import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect } from 'vitest'
import { applyRegistration } from '../../src/administration/apply.ts'
import { parseRegistration } from '../../src/administration/parse.ts'
import { limits } from '../../src/limits.ts'
import { makeKey, signed } from '../support/assertion.ts'
import { sharedTest } from '../support/fixtures.ts'
import { fetchingLocally, startKeyServer } from '../support/key-server.ts'
import { createResources, sealedContext } from '../support/sealed.ts'
import { orders, registerClient, requestToken, startService } from '../support/service.ts'

/** Whoever waits for an issuer that does not answer takes nobody else's place. */

const test = sharedTest
  .extend('keys', { scope: 'file' }, async ({ serverUrl: _ }, { onCleanup }) => {
    // It takes the request and says nothing.
    const keys = await startKeyServer(() => {})
    onCleanup(() => keys.close())
    return keys
  })
  .extend('running', { scope: 'file' }, async ({ database, keys }, { onCleanup }) => {
    // Of a trusted proxy any number of requests is answered at the same time.
    const environment = { ...fetchingLocally, MINTMARK_TRUSTED_PROXIES: '127.0.0.1' }
    const running = await startService({ database, environment })
    onCleanup(() => running.close())
    const context = { ...sealedContext(running.service.database), sealing: undefined }
    await createResources(context)
    const rule = { rule: 'any', access: [{ audience: orders, scopes: ['orders:read'] }] }
    const conditions = [{ claim: 'project', equals: 'one' }]
    const { value } = parseRegistration({ trust: [{ issuer: keys.url, rules: [{ ...rule, conditions }] }] })
    if (value === undefined) throw new Error('the registration is wrong')
    await applyRegistration(context, value)
    return running
  })

test('a thousand who wait for the keys of an issuer keep nobody from a token', async ({ running, keys }) => {
  const good = await registerClient(running.database)
  expect((await requestToken(running.url, good)).status).toBe(200)
  const now = Math.floor(Date.now() / 1000)
  const claims = { iss: keys.url, sub: 'stranger', aud: running.url, exp: now + 60, iat: now }
  // Nobody looks at the signature before there are keys.
  const assertion = signed(makeKey('ES256', 'any'), { alg: 'ES256', kid: 'any' }, claims)
  const body = String(
    new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }),
  )
  const port = Number(new URL(running.url).port)
  const waiting = Array.from({ length: limits.keysWaitingMax }, () => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.write(
      'POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n' +
        `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    )
    return { socket, answered: text(socket).catch(() => '') }
  })
  await expect.poll(() => keys.asked.length).toBeGreaterThan(0)
  // A slow machine may still be busy with those who come.
  await expect.poll(async () => (await requestToken(running.url, good)).status).toBe(200)
  for (let count = 0; count < 100; count += 1) {
    expect((await requestToken(running.url, good)).status).toBe(200)
  }
  for (const { socket } of waiting) socket.destroy()
  await Promise.all(waiting.map(({ answered }) => answered))
})
