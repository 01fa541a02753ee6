import { createVerifier } from 'fast-jwt'
import buildGetJwks from 'get-jwks'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
// --- snippet
const getJwks = buildGetJwks({ ttl: 300_000 })
const verify = createVerifier({
  key: ({ header }) => getJwks.getPublicKey({ kid: header.kid, alg: header.alg, domain: issuer }),
  algorithms: ['ES256'],
  allowedIss: issuer,
  allowedAud: audience,
  checkTyp: 'at+jwt',
})
const payload = await verify(token)
// --- end
console.log(payload.sub)
