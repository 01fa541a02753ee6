import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import {
  ClientCredentialsProvider,
  PrivateKeyJwtProvider,
} from '@modelcontextprotocol/sdk/client/auth-extensions.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

/**
 * How an agent proves who it is. It knows its MCP server and one issuer; from the server it learns the rest.
 * @param {{ issuer: string, clientId?: string, privateKey?: string, clientSecret?: string, assertionFile?: string }} options
 *   `clientId` is what is registered, or the address of a document about the agent. `assertionFile` has what its platform
 *   signed about it; then it needs no id.
 */
export function providerOf({ issuer, clientId, privateKey, clientSecret, assertionFile }) {
  if (assertionFile !== undefined) return new WorkloadProvider(issuer, assertionFile)
  if (privateKey !== undefined)
    return new PrivateKeyJwtProvider({ clientId, privateKey, algorithm: 'ES256', expectedIssuer: issuer })
  return new ClientCredentialsProvider({ clientId, clientSecret, expectedIssuer: issuer })
}

/** The JWT-bearer grant (RFC 7523 section 2.1): the assertion of the platform alone says who asks. */
class WorkloadProvider {
  #assertionFile
  #client
  #tokens

  constructor(issuer, assertionFile) {
    this.#assertionFile = assertionFile
    // The SDK wants a client id and sends it only if we do. The grant has none.
    this.#client = { client_id: 'none', issuer }
  }

  redirectUrl = undefined
  clientMetadata = { redirect_uris: [], grant_types: ['urn:ietf:params:oauth:grant-type:jwt-bearer'] }
  clientInformation = () => this.#client
  saveClientInformation = (client) => {
    this.#client = client
  }
  tokens = () => this.#tokens
  saveTokens = (tokens) => {
    this.#tokens = tokens
  }
  /** No client authenticates beside the assertion. */
  addClientAuthentication = () => {}
  prepareTokenRequest = (scope) => {
    // Read each time: the platform replaces it.
    const assertion = readFileSync(this.#assertionFile, 'utf8').trim()
    const [grant_type] = this.clientMetadata.grant_types
    return new URLSearchParams({ grant_type, assertion, ...(scope && { scope }) })
  }
  redirectToAuthorization() {
    throw new Error('nobody is there to log in')
  }
  saveCodeVerifier() {}
  codeVerifier() {
    throw new Error('there is no code')
  }
}

/**
 * Calls a tool, with a token that is got on the way.
 * @returns what the tool says.
 */
export async function callTool(serverUrl, authProvider, name, values = {}) {
  const client = new Client({ name: 'example-agent', version: '0.1.0' })
  await client.connect(new StreamableHTTPClientTransport(new URL(serverUrl), { authProvider }))
  try {
    const { content } = await client.callTool({ name, arguments: values })
    return JSON.parse(content[0].text)
  } finally {
    await client.close()
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const {
    ISSUER = 'http://127.0.0.1:8080',
    MCP_URL = 'http://127.0.0.1:8095/mcp',
    CLIENT_ID = 'mcp-agent',
  } = process.env
  const { PRIVATE_KEY_FILE, CLIENT_SECRET_FILE, ASSERTION_FILE: assertionFile } = process.env
  const read = (file) => (file === undefined ? undefined : readFileSync(file, 'utf8').trim())
  const [privateKey, clientSecret] = [read(PRIVATE_KEY_FILE), read(CLIENT_SECRET_FILE)]
  const provider = providerOf({
    issuer: ISSUER,
    clientId: CLIENT_ID,
    privateKey,
    clientSecret,
    assertionFile,
  })
  console.log(JSON.stringify(await callTool(MCP_URL, provider, 'whoami')))
}
