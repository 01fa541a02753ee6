import { createServer } from 'node:http'
import { Agent, request } from 'undici'
import { createOidcInterceptor } from 'undici-oidc-interceptor'

const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, AUDIENCE: audience } = process.env
/** Answers with the token that it is shown. */
const server = createServer((asked, response) => response.end(asked.headers.authorization?.slice(7)))
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const orders = `http://127.0.0.1:${server.address().port}`
// --- snippet
const dispatcher = new Agent().compose(
  createOidcInterceptor({
    clientId,
    clientSecret,
    idpTokenUrl: `${issuer}/token`,
    resource: audience,
    retryOnStatusCodes: [401],
    urls: [orders],
  }),
)
const response = await request(orders, { dispatcher })
// --- end
console.log(await response.body.text())
server.close()
