import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { PrivateKeyJwtProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const { ISSUER: issuer, CLIENT_ID: clientId, MCP_URL: serverUrl } = process.env
const privateKey = readFileSync(process.env.PRIVATE_KEY_FILE, 'utf8')

/** The MCP server that the client calls: it names the authorization server and verifies what it gets. */
const { origin, port, pathname } = new URL(serverUrl)
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`))
let accepted
const listener = createServer(async (request, response) => {
  if (request.url.startsWith('/.well-known/oauth-protected-resource')) {
    response.setHeader('content-type', 'application/json')
    return response.end(JSON.stringify({ resource: serverUrl, authorization_servers: [issuer] }))
  }
  if (request.url !== pathname) return response.writeHead(404).end()
  const token = request.headers.authorization?.replace(/^Bearer /, '')
  if (token === undefined) {
    const where = `${origin}/.well-known/oauth-protected-resource${pathname}`
    return response.writeHead(401, { 'www-authenticate': `Bearer resource_metadata="${where}"` }).end()
  }
  await jwtVerify(token, keys, { issuer, audience: serverUrl, typ: 'at+jwt' })
  accepted = token
  const server = new McpServer({ name: 'test', version: '1' })
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined })
  await server.connect(transport)
  await transport.handleRequest(request, response)
}).listen(Number(port), '127.0.0.1')

// --- snippet
const authProvider = new PrivateKeyJwtProvider({
  clientId,
  privateKey,
  algorithm: 'ES256',
  expectedIssuer: issuer,
})
const transport = new StreamableHTTPClientTransport(new URL(serverUrl), { authProvider })
const client = new Client({ name: 'example', version: '1.0.0' })
await client.connect(transport)
// --- end
console.log(accepted)
await client.close()
listener.close()
listener.closeAllConnections()
