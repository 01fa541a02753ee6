import { JwtVerifier } from 'aws-jwt-verify'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
// --- snippet
const verifier = JwtVerifier.create({
  issuer,
  audience,
  jwksUri: `${issuer}/.well-known/jwks.json`,
})
const payload = await verifier.verify(token)
// --- end
console.log(payload.sub)
