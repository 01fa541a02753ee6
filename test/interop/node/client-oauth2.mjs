import ClientOAuth2 from 'client-oauth2'

const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, AUDIENCE: audience } = process.env
// --- snippet
const client = new ClientOAuth2({ clientId, clientSecret, accessTokenUri: `${issuer}/token` })
const token = await client.credentials.getToken({ body: { resource: audience } })
// --- end
console.log(token.accessToken)
