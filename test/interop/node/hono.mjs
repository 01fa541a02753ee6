import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { jwk } from 'hono/jwk'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
const app = new Hono()
// --- snippet
app.use(
  '*',
  jwk({
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    alg: ['ES256'],
    verification: { iss: issuer, aud: audience, typ: 'at+jwt' },
  }),
)
// --- end
app.get('/', (context) => context.json(context.get('jwtPayload')))
serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => ask(port))
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
