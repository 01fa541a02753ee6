import { readFileSync } from 'node:fs'
import { importPKCS8 } from 'jose'
import * as client from 'openid-client'

const { ISSUER: issuer, CLIENT_ID: clientId, KEY_ID: kid, AUDIENCE: audience } = process.env
const key = await importPKCS8(readFileSync(process.env.PRIVATE_KEY_FILE, 'utf8'), 'ES256')
// --- snippet
const authentication = client.PrivateKeyJwt({ key, kid })
const configuration = await client.discovery(new URL(issuer), clientId, undefined, authentication)
const tokens = await client.clientCredentialsGrant(configuration, { resource: audience })
// --- end
console.log(tokens.access_token)
