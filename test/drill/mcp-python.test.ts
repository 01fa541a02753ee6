/**
 * The Python SDK of the Model Context Protocol, as it is published, against the example server: by a secret, by a key, by a
 * document and by what a platform signed. The one in TypeScript is in test/service/mcp.test.ts.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { buildMcpServer } from '../../examples/mcp-server/mcp-server.js'
import { openRequirements } from '../../packages/python/test/environment.ts'
import { applyRegistration } from '../../src/administration/apply.ts'
import { parseRegistration } from '../../src/administration/parse.ts'
import { metadataWorkloadId } from '../../src/registry/client-metadata-prefix.ts'
import { workloadId } from '../../src/registry/issuer.ts'
import { makeKey } from '../support/assertion.ts'
import { test } from '../support/fixtures.ts'
import { fetchingLocally, startKeyServer } from '../support/key-server.ts'
import { kubernetes, publishedKeys, tokenOf } from '../support/platforms.ts'
import { freePort } from '../support/ports.ts'
import { root, start } from '../support/process.ts'
import { sealedContext } from '../support/sealed.ts'

const environment = openRequirements(join(root, 'test/support/mcp-requirements.txt'))

if (typeof environment === 'string')
  test(`NOT TESTED: the Python SDK of MCP, because ${environment}`, () => {})

/** Calls the tool whoami once for each provider, and says who it was. */
const program = `
import asyncio, json, sys
import httpx2
from mcp import ClientSession
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider, PrivateKeyJWTOAuthProvider, SignedJWTParameters, static_assertion_provider,
)
from mcp.client.streamable_http import streamable_http_client

given = json.load(open(sys.argv[1]))
key = given["key"]

class Storage:
    tokens = client_info = None
    async def get_tokens(self): return self.tokens
    async def set_tokens(self, tokens): self.tokens = tokens
    async def get_client_info(self): return self.client_info
    async def set_client_info(self, client_info): self.client_info = client_info

def common(client_id):
    return dict(server_url=given["url"], storage=Storage(), client_id=client_id, issuer=given["issuer"])

def signing(client_id):
    signed = SignedJWTParameters(issuer=client_id, subject=client_id, signing_key=key, signing_algorithm="ES256")
    return PrivateKeyJWTOAuthProvider(**common(client_id), assertion_provider=signed.create_assertion_provider())

async def whoami(provider):
    async with httpx2.AsyncClient(auth=provider) as http:
        async with streamable_http_client(given["url"], http_client=http) as streams:
            async with ClientSession(streams[0], streams[1]) as session:
                await session.initialize()
                result = await session.call_tool("whoami", {})
                return json.loads(result.content[0].text)

async def main():
    secret = ClientCredentialsOAuthProvider(**common("agent-with-secret"), client_secret=given["secret"])
    static = static_assertion_provider(given["assertion"])
    platform = PrivateKeyJWTOAuthProvider(**common("none"), assertion_provider=static)
    providers = [secret, signing("mcp-agent"), signing(given["agent"]), platform]
    print(json.dumps([(await whoami(provider))["sub"] for provider in providers]))

asyncio.run(main())
`

describe.skipIf(typeof environment === 'string')('the Python SDK of MCP', () => {
  test('calls a tool by a secret, a key, a document and what a platform signed', async ({
    startService,
    files,
    track,
    onTestFinished,
  }) => {
    if (typeof environment === 'string') return
    const host = await startKeyServer()
    const { url: issuer, service } = await startService({ environment: fetchingLocally })
    const url = `http://127.0.0.1:${await freePort()}/mcp`
    const app = buildMcpServer({ issuer, url })
    await app.listen({ host: '127.0.0.1', port: Number(new URL(url).port) })
    onTestFinished(async () => {
      await app.close()
      await host.close()
    })
    const key = makeKey('ES256', 'agent')
    const jwks = { keys: [key.publicJwk] }
    const agent = `${host.url}/agents/one`
    const method = { token_endpoint_auth_method: 'private_key_jwt' }
    host.answer({ '/agents/one': { client_id: agent, ...method, jwks } })
    const access = [{ audience: url, scopes: ['tools:use'] }]
    const subject = 'system:serviceaccount:payments:agent'
    const { value, mistakes } = parseRegistration({
      resources: [{ audience: url, scopes: ['tools:use'] }],
      clients: [
        { client_id: 'mcp-agent', ...method, jwks, access },
        { client_id: 'agent-with-secret', access },
      ],
      trust: [
        { issuer: `${host.url}/agents/`, client_metadata: true, rules: [{ rule: 'published', access }] },
        {
          issuer: kubernetes.issuer,
          jwks: publishedKeys(kubernetes),
          rules: [{ rule: 'cluster', conditions: [{ claim: 'sub', equals: subject }], access }],
        },
      ],
    })
    expect(mistakes).toEqual([])
    if (value === undefined) return
    const context = { ...sealedContext(service.database), sealing: undefined }
    const { secrets } = await applyRegistration(context, value)
    const given = {
      url,
      issuer,
      agent,
      secret: secrets.find(({ clientId }) => clientId === 'agent-with-secret')?.secret,
      key: key.privateKey.export({ format: 'pem', type: 'pkcs8' }),
      assertion: tokenOf(kubernetes, issuer, { claims: { sub: subject } }),
    }
    writeFileSync(files.path('given.json'), JSON.stringify(given))
    const { code, stdout, stderr } = await track(
      start(environment.python, ['-c', program, files.path('given.json')]),
    ).outcome
    expect({ code }, stderr).toEqual({ code: 0 })
    expect(JSON.parse(stdout)).toEqual([
      'agent-with-secret',
      'mcp-agent',
      metadataWorkloadId(agent),
      workloadId(kubernetes.issuer, subject),
    ])
  })
})
