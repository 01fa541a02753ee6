import { readFileSync } from 'node:fs'
import { custom, Issuer } from 'openid-client-5'

const { ISSUER: issuer, CLIENT_ID: clientId, AUDIENCE: audience } = process.env
const certificate = readFileSync(process.env.CERTIFICATE_FILE)
const key = readFileSync(process.env.CERTIFICATE_KEY_FILE)
// --- snippet
const mintmark = await Issuer.discover(issuer)
const client = new mintmark.Client({ client_id: clientId, token_endpoint_auth_method: 'tls_client_auth' })
client[custom.http_options] = () => ({ cert: certificate, key })
const tokens = await client.grant({ grant_type: 'client_credentials', resource: audience })
// --- end
console.log(tokens.access_token)
