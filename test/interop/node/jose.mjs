import { createRemoteJWKSet, jwtVerify } from 'jose'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
// --- snippet
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`), {
  cacheMaxAge: 300_000, // its default is ten minutes; the service's Cache-Control says five
  headers: { 'Mintmark-Verifier': 'orders' },
})
const { payload } = await jwtVerify(token, keys, {
  issuer,
  audience,
  typ: 'at+jwt',
  algorithms: ['ES256'],
})
// --- end
console.log(payload.sub)
