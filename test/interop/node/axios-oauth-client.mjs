import axios from 'axios'
import { clientCredentials } from 'axios-oauth-client'

const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret } = process.env
// --- snippet
const getClientCredentials = clientCredentials(axios.create(), `${issuer}/token`, clientId, clientSecret)
const auth = await getClientCredentials('orders:read') // access to one resource needs no resource parameter
// --- end
console.log(auth.access_token)
