import { Issuer } from 'openid-client-5'

const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, AUDIENCE: audience } = process.env
// --- snippet
const mintmark = await Issuer.discover(issuer)
const client = new mintmark.Client({ client_id: clientId, client_secret: clientSecret })
const tokens = await client.grant({ grant_type: 'client_credentials', resource: audience })
// --- end
console.log(tokens.access_token)
