import { OAuth2Client } from '@badgateway/oauth2-client'

const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, AUDIENCE: audience } = process.env
// --- snippet
const client = new OAuth2Client({ server: issuer, clientId, clientSecret })
const token = await client.clientCredentials({ resource: audience })
// --- end
console.log(token.accessToken)
