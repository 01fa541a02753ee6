import * as client from 'openid-client'

const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, AUDIENCE: audience } = process.env
// --- snippet
const configuration = await client.discovery(new URL(issuer), clientId, clientSecret)
// One key for as long as the process runs. The same handle signs the proofs for the API.
const DPoP = client.getDPoPHandle(configuration, await client.randomDPoPKeyPair('ES256'))
const tokens = await client.clientCredentialsGrant(configuration, { resource: audience }, { DPoP })
// --- end
console.log(tokens.access_token)
