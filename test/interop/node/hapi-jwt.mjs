import Hapi from '@hapi/hapi'
import Jwt from '@hapi/jwt'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
const server = Hapi.server()
// --- snippet
// It reads RSA keys only: the resource names signing_algorithm: RS256.
await server.register(Jwt)
server.auth.strategy('mintmark', 'jwt', {
  keys: { uri: `${issuer}/.well-known/jwks.json`, algorithms: ['RS256'] },
  verify: { iss: issuer, aud: audience, sub: false, exp: true, nbf: true, timeSkewSec: 10 },
  validate: ({ decoded }) => ({
    isValid: decoded.header.typ === 'at+jwt',
    credentials: decoded.payload,
  }),
})
server.auth.default('mintmark')
// --- end
server.route({ method: 'GET', path: '/', handler: (request) => request.auth.credentials })
await server.initialize()
const response = await server.inject({ url: '/', headers: { authorization: `Bearer ${token}` } })
console.log(response.statusCode === 200 ? response.result.sub : response.result)
process.exit(response.statusCode === 200 ? 0 : 1)
