import express from 'express'
import { expressjwt } from 'express-jwt'
import jwksRsa from 'jwks-rsa'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
const app = express()
// --- snippet
app.use(
  expressjwt({
    secret: jwksRsa.expressJwtSecret({ jwksUri: `${issuer}/.well-known/jwks.json`, cache: true }),
    algorithms: ['ES256'], // the README has RS256
    issuer,
    audience,
  }),
)
// --- end
app.get('/', (request, response) => response.json(request.auth))
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
