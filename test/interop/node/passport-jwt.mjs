import express from 'express'
import jwksRsa from 'jwks-rsa'
import passport from 'passport'
import { ExtractJwt, Strategy } from 'passport-jwt'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
const app = express()
// --- snippet
passport.use(
  new Strategy(
    {
      jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
      secretOrKeyProvider: jwksRsa.passportJwtSecret({
        jwksUri: `${issuer}/.well-known/jwks.json`,
        cache: true,
      }),
      algorithms: ['ES256'], // the examples have RS256
      issuer,
      audience,
    },
    (payload, done) => done(null, payload),
  ),
)
app.use(passport.authenticate('jwt', { session: false }))
// --- end
app.get('/', (request, response) => response.json(request.user))
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
