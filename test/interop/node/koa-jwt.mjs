import jwksRsa from 'jwks-rsa'
import Koa from 'koa'
import jwt from 'koa-jwt'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
const app = new Koa()
// --- snippet
app.use(
  jwt({
    secret: jwksRsa.koaJwtSecret({ jwksUri: `${issuer}/.well-known/jwks.json`, cache: true }),
    algorithms: ['ES256'],
    issuer,
    audience,
  }),
)
// --- end
app.use((context) => {
  context.body = context.state.user
})
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
