import { generateKeyPairSync, sign } from 'node:crypto'
import fastify from 'fastify'

/**
 * The floor: what no token service on this framework can be faster than. Bare Fastify answers the same form
 * POST, and each answer costs one ES256 signature. No checks, no database, no log, no headers.
 */
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const app = fastify({ logger: false })
app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'buffer' }, (_request, body, done) =>
  done(null, body),
)
const header = Buffer.from('{"alg":"ES256","typ":"at+jwt"}').toString('base64url')
app.post('/token', (_request, reply) => {
  const now = Math.floor(Date.now() / 1000)
  const claims = Buffer.from(`{"iss":"https://floor.example.com","iat":${now},"exp":${now + 300}}`)
  const input = `${header}.${claims.toString('base64url')}`
  const token = `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`
  reply.header('content-type', 'application/json')
  return reply.send(`{"access_token":"${token}","token_type":"Bearer","expires_in":300}`)
})
await app.listen({ host: '127.0.0.1', port: Number(process.argv[2]) })
process.send?.('listening')
