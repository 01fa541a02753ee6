import * as client from 'openid-client'

const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, AUDIENCE: audience } = process.env
// --- snippet
const configuration = await client.discovery(new URL(issuer), clientId, clientSecret)
const tokens = await client.clientCredentialsGrant(configuration, { resource: audience })
// --- end
console.log(tokens.access_token)
