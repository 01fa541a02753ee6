import { readFileSync } from 'node:fs'
import * as oauth from 'oauth4webapi'
import * as undici from 'undici'

const { ISSUER: issuer, CLIENT_ID: clientId, AUDIENCE: audience } = process.env
const certificate = readFileSync(process.env.CERTIFICATE_FILE)
const key = readFileSync(process.env.CERTIFICATE_KEY_FILE)
// --- snippet
const url = new URL(issuer)
const server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url))
const client = { client_id: clientId, use_mtls_endpoint_aliases: true }
const dispatcher = new undici.Agent({ connect: { cert: certificate, key } })
const response = await oauth.clientCredentialsGrantRequest(
  server,
  client,
  oauth.TlsClientAuth(),
  new URLSearchParams({ resource: audience }),
  { [oauth.customFetch]: (target, options) => undici.fetch(target, { ...options, dispatcher }) },
)
const tokens = await oauth.processClientCredentialsResponse(server, client, response)
// --- end
console.log(tokens.access_token)
