import { ClientCredentials } from 'simple-oauth2'

const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, AUDIENCE: audience } = process.env
// --- snippet
const client = new ClientCredentials({
  client: { id: clientId, secret: clientSecret },
  auth: { tokenHost: issuer, tokenPath: '/token' }, // its default is /oauth/token
})
const { token } = await client.getToken({ resource: audience })
// --- end
console.log(token.access_token)
