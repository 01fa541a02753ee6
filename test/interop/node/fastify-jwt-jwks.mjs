import Fastify from 'fastify'
import jwks from 'fastify-jwt-jwks'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
const fastify = Fastify()
// --- snippet
// It takes RS256 and EdDSA only: the resource names signing_algorithm: RS256.
await fastify.register(jwks, {
  jwksUrl: `${issuer}/.well-known/jwks.json`,
  issuer,
  audience,
  secretsTtl: 300_000,
})
fastify.get('/', { preValidation: fastify.authenticate }, (request) => request.user)
// --- end
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
