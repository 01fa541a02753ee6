import OktaJwtVerifier from '@okta/jwt-verifier'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
// --- snippet
const verifier = new OktaJwtVerifier({ issuer, jwksUri: `${issuer}/.well-known/jwks.json` })
const jwt = await verifier.verifyAccessToken(token, audience)
// --- end
console.log(jwt.claims.sub)
