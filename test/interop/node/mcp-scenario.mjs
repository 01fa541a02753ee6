/**
 * An MCP client as the scenarios of @modelcontextprotocol/conformance start one: the address of a server is its argument, and
 * who it is stands in MCP_CONFORMANCE_CONTEXT. It is the same program against their server and against Mintmark.
 */
import {
  ClientCredentialsProvider,
  PrivateKeyJwtProvider,
} from '@modelcontextprotocol/sdk/client/auth-extensions.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

const serverUrl = process.argv.at(-1)
const given = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT)
const { client_id: clientId, client_secret: clientSecret, private_key_pem: privateKey } = given
const authProvider =
  privateKey === undefined
    ? new ClientCredentialsProvider({ clientId, clientSecret })
    : new PrivateKeyJwtProvider({ clientId, privateKey, algorithm: given.signing_algorithm ?? 'ES256' })
const client = new Client({ name: 'scenario', version: '1.0.0' })
await client.connect(new StreamableHTTPClientTransport(new URL(serverUrl), { authProvider }))
const { tools } = await client.listTools()
console.log(tools.map(({ name }) => name).join(' '))
await client.close()
