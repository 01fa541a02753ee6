import * as oauth from 'oauth4webapi'

const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, AUDIENCE: audience } = process.env
// --- snippet
const url = new URL(issuer)
const server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url))
const client = { client_id: clientId }
const response = await oauth.clientCredentialsGrantRequest(
  server,
  client,
  oauth.ClientSecretPost(clientSecret),
  new URLSearchParams({ resource: audience }),
)
const tokens = await oauth.processClientCredentialsResponse(server, client, response)
// --- end
console.log(tokens.access_token)
