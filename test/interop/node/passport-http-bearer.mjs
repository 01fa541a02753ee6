import express from 'express'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import passport from 'passport'
import { Strategy } from 'passport-http-bearer'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
const app = express()
// --- snippet
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`))
passport.use(
  new Strategy((presented, done) => {
    jwtVerify(presented, keys, { issuer, audience, typ: 'at+jwt', algorithms: ['ES256'] }).then(
      ({ payload }) => done(null, payload, { scope: payload.scope }),
      () => done(null, false),
    )
  }),
)
app.use(passport.authenticate('bearer', { session: false }))
// --- end
app.get('/', (request, response) => response.json(request.user))
const server = app.listen(0, '127.0.0.1', () => ask(server.address().port))
/** Asks the server above as a caller would. */
async function ask(port) {
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { authorization: `Bearer ${token}` } })
  console.log(response.ok ? (await response.json()).sub : response.headers.get('www-authenticate'))
  process.exit(response.ok ? 0 : 1)
}
