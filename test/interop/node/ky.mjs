import ky from 'ky'

const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, AUDIENCE: audience } = process.env
// --- snippet
const answer = await ky
  .post(`${issuer}/token`, {
    headers: { authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource: audience }),
    throwHttpErrors: false,
  })
  .json()
// --- end
console.log(answer.access_token ?? answer.error_description)
