import { readFileSync } from 'node:fs'
import { importPKCS8 } from 'jose'
import * as oauth from 'oauth4webapi'

const { ISSUER: issuer, CLIENT_ID: clientId, KEY_ID: kid, AUDIENCE: audience } = process.env
const key = await importPKCS8(readFileSync(process.env.PRIVATE_KEY_FILE, 'utf8'), 'ES256')
const url = new URL(issuer)
const server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url))
const client = { client_id: clientId }
// --- snippet
const response = await oauth.clientCredentialsGrantRequest(
  server,
  client,
  oauth.PrivateKeyJwt({ key, kid }),
  new URLSearchParams({ resource: audience }),
)
const tokens = await oauth.processClientCredentialsResponse(server, client, response)
// --- end
console.log(tokens.access_token)
