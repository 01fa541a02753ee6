const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env

// --- snippet
import { createVerifier, requireToken, tokenOf } from '@mintmark/verifier'
import Fastify from 'fastify'

const verifier = createVerifier({ issuer, audience, name: 'orders' })
const app = Fastify()
app.get('/orders', { preHandler: requireToken(verifier, { scope: 'orders:read' }) }, (request) => {
  return { caller: tokenOf(request).client_id }
})
// --- end
const headers = { authorization: `Bearer ${token}` }
const answer = await app.inject({ url: '/orders', headers })
console.log(answer.statusCode === 200 ? answer.json().caller : answer.headers['www-authenticate'])
process.exit(answer.statusCode === 200 ? 0 : 1)
