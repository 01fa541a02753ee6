import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import buildGetJwks from 'get-jwks'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
const fastify = Fastify()
// --- snippet
const getJwks = buildGetJwks({ providerDiscovery: true })
fastify.register(fastifyJwt, {
  decode: { complete: true },
  // Not the iss of the token, as the README has it: a stranger could name a server of their own.
  secret: (_request, { header }) =>
    getJwks.getPublicKey({ kid: header.kid, alg: header.alg, domain: issuer }),
  verify: { algorithms: ['ES256'], allowedIss: issuer, allowedAud: audience },
})
// --- end
fastify.addHook('onRequest', (request) => request.jwtVerify())
fastify.get('/', (request) => request.user)
await fastify.listen({ port: 0, host: '127.0.0.1' })
await ask(fastify.server.address().port)
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
