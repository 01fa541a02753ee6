import { readFileSync } from 'node:fs'
import * as client from 'openid-client'
import * as undici from 'undici'

const { ISSUER: issuer, CLIENT_ID: clientId, AUDIENCE: audience } = process.env
const certificate = readFileSync(process.env.CERTIFICATE_FILE)
const key = readFileSync(process.env.CERTIFICATE_KEY_FILE)
// --- snippet
const metadata = { use_mtls_endpoint_aliases: true }
const configuration = await client.discovery(new URL(issuer), clientId, metadata, client.TlsClientAuth())
const dispatcher = new undici.Agent({ connect: { cert: certificate, key } })
configuration[client.customFetch] = (url, options) => undici.fetch(url, { ...options, dispatcher })
const tokens = await client.clientCredentialsGrant(configuration, { resource: audience })
// --- end
console.log(tokens.access_token)
