import { readFileSync } from 'node:fs'
import { Issuer } from 'openid-client-5'

const { ISSUER: issuer, CLIENT_ID: clientId, KEY_ID: kid, AUDIENCE: audience } = process.env
const key = { ...JSON.parse(readFileSync(process.env.PRIVATE_JWK_FILE, 'utf8')), kid }
// --- snippet
const mintmark = await Issuer.discover(issuer)
const client = new mintmark.Client(
  { client_id: clientId, token_endpoint_auth_method: 'private_key_jwt' },
  { keys: [key] },
)
const tokens = await client.grant({ grant_type: 'client_credentials', resource: audience })
// --- end
console.log(tokens.access_token)
