/**
 * Agents and servers of the Model Context Protocol, with its TypeScript SDK as it is published: the example server, called by
 * everything that an agent can prove itself with.
 */
import { writeFileSync } from 'node:fs'
import { StaticPrivateKeyJwtProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js'
import {
  OAuthMetadataSchema,
  OpenIdProviderDiscoveryMetadataSchema,
} from '@modelcontextprotocol/sdk/shared/auth.js'
import { expect } from 'vitest'
import { callTool, providerOf } from '../../examples/mcp-server/agent.js'
import { buildMcpServer } from '../../examples/mcp-server/mcp-server.js'
import { applyRegistration } from '../../src/administration/apply.ts'
import { parseRegistration } from '../../src/administration/parse.ts'
import { metadataWorkloadId } from '../../src/registry/client-metadata-prefix.ts'
import { workloadId } from '../../src/registry/issuer.ts'
import { makeKey } from '../support/assertion.ts'
import { sharedTest } from '../support/fixtures.ts'
import { fetchingLocally, startKeyServer } from '../support/key-server.ts'
import { kubernetes, publishedKeys, tokenOf } from '../support/platforms.ts'
import { freePort } from '../support/ports.ts'
import { sealedContext } from '../support/sealed.ts'
import { startService } from '../support/service.ts'

const key = makeKey('ES256', 'agent')
const privateKey = key.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
const publicJwk = { ...key.publicJwk, kid: 'agent' }
const access = (audience: string) => [{ audience, scopes: ['tools:use'] }]

const test = sharedTest.extend('world', { scope: 'file' }, async ({ database }, { onCleanup }) => {
  const host = await startKeyServer()
  const running = await startService({ database, environment: fetchingLocally })
  const url = `http://127.0.0.1:${await freePort()}/mcp`
  const app = buildMcpServer({ issuer: running.url, url })
  await app.listen({ host: '127.0.0.1', port: Number(new URL(url).port) })
  onCleanup(async () => {
    await app.close()
    await running.close()
    await host.close()
  })
  const agent = `${host.url}/agents/one`
  host.answer({
    '/agents/one': {
      client_id: agent,
      client_name: 'An agent',
      grant_types: ['client_credentials'],
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [publicJwk] },
    },
  })
  const { value, mistakes } = parseRegistration({
    resources: [{ audience: url, scopes: ['tools:use'], token_lifetime: 300 }],
    clients: [
      {
        client_id: 'mcp-agent',
        kind: 'agent',
        owner: 'agents@example.com',
        token_endpoint_auth_method: 'private_key_jwt',
        jwks: { keys: [publicJwk] },
        access: access(url),
      },
      { client_id: 'agent-with-secret', kind: 'agent', access: access(url) },
      { client_id: 'agent-without-access', kind: 'agent' },
    ],
    trust: [
      {
        issuer: `${host.url}/agents/`,
        client_metadata: true,
        rules: [{ rule: 'published-agents', access: access(url) }],
      },
      {
        issuer: kubernetes.issuer,
        jwks: publishedKeys(kubernetes),
        rules: [
          {
            rule: 'agents-of-the-cluster',
            conditions: [{ claim: 'sub', prefix: 'system:serviceaccount:payments:' }],
            access: access(url),
          },
        ],
      },
    ],
  })
  expect(mistakes).toEqual([])
  if (value === undefined) throw new Error('it is no registration')
  const context = { ...sealedContext(running.service.database), sealing: undefined }
  const { secrets } = await applyRegistration(context, value)
  const secretOf = (clientId: string) => secrets.find((made) => made.clientId === clientId)?.secret ?? ''
  return { issuer: running.url, url, agent, secretOf, running }
})

test('both schemas of metadata read it', async ({ world }) => {
  const read = async (path: string) => (await fetch(`${world.issuer}/.well-known/${path}`)).json()
  const oauth = OAuthMetadataSchema.parse(await read('oauth-authorization-server'))
  expect(oauth).toMatchObject({
    token_endpoint_auth_methods_supported: expect.arrayContaining(['private_key_jwt', 'client_secret_basic']),
    token_endpoint_auth_signing_alg_values_supported: expect.arrayContaining(['ES256']),
    grant_types_supported: ['client_credentials', 'urn:ietf:params:oauth:grant-type:jwt-bearer'],
    client_id_metadata_document_supported: true,
  })
  OpenIdProviderDiscoveryMetadataSchema.parse(await read('openid-configuration'))
})

test('an agent calls a tool by its key, its secret, its document, and what its platform signed', async ({
  world,
  files,
}) => {
  const { issuer, url, agent, secretOf } = world
  const whoami = (options: Omit<Parameters<typeof providerOf>[0], 'issuer'>) =>
    callTool(url, providerOf({ issuer, ...options }), 'whoami')
  expect(await whoami({ clientId: 'mcp-agent', privateKey })).toEqual({
    sub: 'mcp-agent',
    client_id: 'mcp-agent',
    scope: 'tools:use',
  })
  const clientSecret = secretOf('agent-with-secret')
  expect(await whoami({ clientId: 'agent-with-secret', clientSecret })).toMatchObject({
    sub: 'agent-with-secret',
  })
  expect(await whoami({ clientId: agent, privateKey })).toEqual({
    sub: metadataWorkloadId(agent),
    client_id: agent,
    scope: 'tools:use',
  })
  const assertionFile = files.path('token.jwt')
  const subject = 'system:serviceaccount:payments:agent'
  writeFileSync(assertionFile, tokenOf(kubernetes, issuer, { claims: { sub: subject } }))
  expect(await whoami({ assertionFile })).toMatchObject({ sub: workloadId(kubernetes.issuer, subject) })
  // The same assertion as the authentication of a client, by the provider that the SDK has for that.
  const jwtBearerAssertion = tokenOf(kubernetes, issuer, { claims: { sub: subject } })
  const asClient = new StaticPrivateKeyJwtProvider({
    clientId: 'none',
    jwtBearerAssertion,
    expectedIssuer: issuer,
  })
  expect(await callTool(url, asClient, 'add', { a: 2, b: 3 })).toEqual({
    sum: 5,
    by: workloadId(kubernetes.issuer, subject),
  })
})

test('what is refused', async ({ world }) => {
  const { issuer, url, secretOf } = world
  const bare = await fetch(url, {
    method: 'POST',
    body: '{}',
    headers: { 'content-type': 'application/json' },
  })
  expect(bare.status).toBe(401)
  const [, where = ''] = /resource_metadata="([^"]+)"/.exec(bare.headers.get('www-authenticate') ?? '') ?? []
  expect(await (await fetch(where)).json()).toMatchObject({ resource: url, authorization_servers: [issuer] })
  const call = (options: Omit<Parameters<typeof providerOf>[0], 'issuer'>) =>
    callTool(url, providerOf({ issuer, ...options }), 'whoami')
  const stranger = makeKey('ES256', 'agent').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
  await expect(call({ clientId: 'mcp-agent', privateKey: stranger })).rejects.toThrow(
    'Client authentication failed',
  )
  const clientSecret = secretOf('agent-without-access')
  await expect(call({ clientId: 'agent-without-access', clientSecret })).rejects.toThrow(/no access/)
})
