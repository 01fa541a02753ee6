import { readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import axios from 'axios'

const { MTLS_URL: mtlsUrl, CLIENT_ID: clientId, AUDIENCE: audience } = process.env
const certificate = readFileSync(process.env.CERTIFICATE_FILE)
const key = readFileSync(process.env.CERTIFICATE_KEY_FILE)
try {
  // --- snippet
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: clientId,
    resource: audience,
  })
  const { data } = await axios.post(`${mtlsUrl}/token`, form, {
    httpsAgent: new Agent({ cert: certificate, key }),
  })
  // --- end
  console.log(data.access_token)
} catch (error) {
  console.log(error.response?.data ?? error)
  process.exit(1)
}
