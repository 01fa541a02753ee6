import jwt from 'jsonwebtoken'
import jwksClient from 'jwks-rsa'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
// --- snippet
const client = jwksClient({ jwksUri: `${issuer}/.well-known/jwks.json`, cacheMaxAge: 300_000 })
const getKey = (header, callback) =>
  client.getSigningKey(header.kid).then((key) => callback(null, key.getPublicKey()), callback)
const payload = await new Promise((resolve, reject) => {
  jwt.verify(token, getKey, { algorithms: ['ES256'], issuer, audience }, (error, claims) =>
    error ? reject(error) : resolve(claims),
  )
})
// --- end
console.log(payload.sub)
