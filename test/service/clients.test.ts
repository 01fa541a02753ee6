import { createRemoteJWKSet, jwtVerify } from 'jose'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { describe, expect } from 'vitest'
import { sharedTest } from '../support/fixtures.ts'
import { invoices, orders, registerClient, startService, type TestService } from '../support/service.ts'

/** Client libraries that nobody here wrote, against the listening service. */

const access = { [orders]: ['orders:read', 'orders:write'], [invoices]: ['invoices:read'] }

const test = sharedTest
  .extend('running', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const running = await startService({ database })
    onCleanup(() => running.close())
    return running
  })
  .extend('basicClient', { scope: 'file' }, ({ database }) =>
    registerClient(database, { clientId: 'svc:billing/eu', access }),
  )
  .extend('postClient', { scope: 'file' }, ({ database }) =>
    registerClient(database, { method: 'client_secret_post', access }),
  )

/** What a relying service does with a token: nothing but jose and the published keys. */
async function verify({ url }: TestService, token: string, audience = orders) {
  return await jwtVerify(token, createRemoteJWKSet(new URL(`${url}/.well-known/jwks.json`)), {
    issuer: url,
    audience,
    typ: 'at+jwt',
    algorithms: ['ES256'],
    requiredClaims: ['sub', 'client_id', 'jti', 'iat', 'exp', 'scope'],
  })
}

describe('oauth4webapi', () => {
  const insecure = { [oauth.allowInsecureRequests]: true }

  async function discover({ url }: TestService): Promise<oauth.AuthorizationServer> {
    const issuer = new URL(url)
    const response = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
    return await oauth.processDiscoveryResponse(issuer, response)
  }

  async function grant(
    running: TestService,
    clientId: string,
    authentication: oauth.ClientAuth,
    parameters: Record<string, string>,
  ) {
    const server = await discover(running)
    const client = { client_id: clientId }
    const response = await oauth.clientCredentialsGrantRequest(
      server,
      client,
      authentication,
      parameters,
      insecure,
    )
    return await oauth.processClientCredentialsResponse(server, client, response)
  }

  test('discovers, authenticates with Basic, gets a token that jose verifies', async ({
    basicClient,
    running,
  }) => {
    const answer = await grant(running, basicClient.clientId, oauth.ClientSecretBasic(basicClient.secret), {
      resource: orders,
      scope: 'orders:read',
    })
    expect(answer).toMatchObject({ token_type: 'bearer', expires_in: 300, scope: 'orders:read' })
    const { payload, protectedHeader } = await verify(running, answer.access_token)
    expect(protectedHeader).toEqual({ alg: 'ES256', typ: 'at+jwt', kid: expect.any(String) })
    expect(payload).toEqual({
      iss: running.url,
      sub: 'svc:billing/eu',
      client_id: 'svc:billing/eu',
      aud: orders,
      scope: 'orders:read',
      iat: expect.any(Number),
      exp: (payload.iat as number) + 300,
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
    })
  })

  test('authenticates with the secret in the body', async ({ postClient, running }) => {
    const answer = await grant(running, postClient.clientId, oauth.ClientSecretPost(postClient.secret), {
      audience: invoices,
    })
    expect(answer).toMatchObject({ expires_in: 60, scope: 'invoices:read' })
    expect((await verify(running, answer.access_token, invoices)).payload.sub).toBe(postClient.clientId)
  })

  test('understands a wrong secret as invalid_client with its challenge', async ({
    basicClient,
    postClient,
    running,
  }) => {
    const attempt = grant(running, basicClient.clientId, oauth.ClientSecretBasic(postClient.secret), {
      resource: orders,
    })
    const error = await attempt.then(
      () => undefined,
      (reason: unknown) => reason as oauth.WWWAuthenticateChallengeError,
    )
    expect(error).toBeInstanceOf(oauth.WWWAuthenticateChallengeError)
    expect(error?.status).toBe(401)
    expect(error?.cause[0]).toMatchObject({ scheme: 'basic', parameters: { realm: 'mintmark' } })
  })

  test('understands a scope that is not granted as invalid_scope', async ({ basicClient, running }) => {
    const attempt = grant(running, basicClient.clientId, oauth.ClientSecretBasic(basicClient.secret), {
      resource: orders,
      scope: 'orders:read orders:delete',
    })
    await expect(attempt).rejects.toMatchObject({ error: 'invalid_scope', status: 400 })
  })
})

describe('openid-client', () => {
  async function configure({ url }: TestService, clientId: string, authentication: openid.ClientAuth) {
    return await openid.discovery(new URL(url), clientId, undefined, authentication, {
      execute: [openid.allowInsecureRequests],
    })
  }

  test('discovers through openid-configuration and authenticates with Basic', async ({
    basicClient,
    running,
  }) => {
    const configuration = await configure(
      running,
      basicClient.clientId,
      openid.ClientSecretBasic(basicClient.secret),
    )
    const answer = await openid.clientCredentialsGrant(configuration, { resource: orders })
    expect(answer.scope).toBe('orders:read orders:write')
    expect((await verify(running, answer.access_token)).payload['client_id']).toBe(basicClient.clientId)
  })

  test('authenticates with the secret in the body', async ({ postClient, running }) => {
    const configuration = await configure(
      running,
      postClient.clientId,
      openid.ClientSecretPost(postClient.secret),
    )
    const answer = await openid.clientCredentialsGrant(configuration, {
      resource: orders,
      scope: 'orders:write',
    })
    expect((await verify(running, answer.access_token)).payload['scope']).toBe('orders:write')
  })

  test('understands an unknown resource as invalid_target', async ({ basicClient, running }) => {
    const configuration = await configure(
      running,
      basicClient.clientId,
      openid.ClientSecretBasic(basicClient.secret),
    )
    await expect(
      openid.clientCredentialsGrant(configuration, { resource: 'https://elsewhere.example.com' }),
    ).rejects.toMatchObject({ error: 'invalid_target', status: 400 })
  })
})

test('a token does not verify for another audience, issuer or type', async ({ basicClient, running }) => {
  const configuration = await openid.discovery(
    new URL(running.url),
    basicClient.clientId,
    undefined,
    openid.ClientSecretBasic(basicClient.secret),
    { execute: [openid.allowInsecureRequests] },
  )
  const { access_token: token } = await openid.clientCredentialsGrant(configuration, { resource: orders })
  await expect(verify(running, token, invoices)).rejects.toMatchObject({
    code: 'ERR_JWT_CLAIM_VALIDATION_FAILED',
  })
  const keys = createRemoteJWKSet(new URL(`${running.url}/.well-known/jwks.json`))
  await expect(jwtVerify(token, keys, { issuer: `${running.url}/`, typ: 'at+jwt' })).rejects.toThrow('"iss"')
  await expect(jwtVerify(token, keys, { issuer: running.url, typ: 'JWT' })).rejects.toThrow('"typ"')
})
