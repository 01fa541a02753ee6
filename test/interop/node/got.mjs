import got from 'got'

const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, AUDIENCE: audience } = process.env
try {
  // --- snippet
  const answer = await got
    .post(`${issuer}/token`, {
      username: clientId,
      password: clientSecret,
      form: { grant_type: 'client_credentials', resource: audience },
    })
    .json()
  // --- end
  console.log(answer.access_token)
} catch (error) {
  console.log(error.response?.body ?? error)
  process.exit(1)
}
