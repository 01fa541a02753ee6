import axios from 'axios'

const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, AUDIENCE: audience } = process.env
// --- snippet
const form = new URLSearchParams({ grant_type: 'client_credentials', resource: audience })
const { data } = await axios.post(`${issuer}/token`, form, {
  auth: { username: clientId, password: clientSecret },
})
// --- end
console.log(data.access_token)
