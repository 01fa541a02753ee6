import express from 'express'
import { auth } from 'express-oauth2-jwt-bearer'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
const app = express()
// --- snippet
app.use(auth({ issuerBaseURL: issuer, audience, strict: true }))
// --- end
app.get('/', (request, response) => response.json(request.auth.payload))
app.use((error, _request, response, _next) => response.status(error.status ?? 500).send(error.message))
const server = app.listen(0, '127.0.0.1', () => ask(server.address().port))
/** Asks the server above as a caller would. */
async function ask(port) {
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { authorization: `Bearer ${token}` } })
  console.log(
    response.ok
      ? (await response.json()).sub
      : `${response.status} ${response.headers.get('www-authenticate') ?? ''} ${await response.text()}`,
  )
  process.exit(response.ok ? 0 : 1)
}
