import { createHash, generateKeyPairSync, randomUUID, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import formbody from '@fastify/formbody'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import fastify from 'fastify'
import { SignJWT } from 'jose'

/**
 * The plain build: what a good engineer would write in an afternoon with well-known packages. It compares the
 * secret in constant time and logs each request. It has no database, no ledger and no slow hash.
 */
const [port, clientsFile] = process.argv.slice(2)
const issuer = `http://127.0.0.1:${port}`
const audience = 'https://bench.example.com'
const lifetimeSeconds = 300

const digest = (/** @type {string} */ text) => createHash('sha256').update(text).digest()
/** @type {Map<string, Buffer>} */
const secrets = new Map(
  JSON.parse(readFileSync(clientsFile, 'utf8')).map(({ clientId, secret }) => [clientId, digest(secret)]),
)
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

const app = fastify({ logger: true })
await app.register(helmet)
await app.register(rateLimit, { max: 1_000_000_000, timeWindow: '1 minute' })
await app.register(formbody)

/** @returns {string | undefined} the client that has proven who it is. */
function authenticate(/** @type {string} */ header) {
  if (!header.startsWith('Basic ')) return undefined
  const [clientId = '', secret = ''] = Buffer.from(header.slice(6), 'base64').toString().split(':')
  const expected = secrets.get(decodeURIComponent(clientId))
  const isRight = expected !== undefined && timingSafeEqual(expected, digest(decodeURIComponent(secret)))
  return isRight ? clientId : undefined
}

app.post('/token', async (request, reply) => {
  reply.header('cache-control', 'no-store')
  if (request.body?.grant_type !== 'client_credentials') {
    return reply.code(400).send({ error: 'unsupported_grant_type' })
  }
  const clientId = authenticate(request.headers.authorization ?? '')
  if (clientId === undefined) {
    return reply.code(401).header('www-authenticate', 'Basic').send({ error: 'invalid_client' })
  }
  const token = await new SignJWT({ client_id: clientId, scope: 'read' })
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'plain' })
    .setIssuer(issuer)
    .setSubject(clientId)
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime(`${lifetimeSeconds}s`)
    .setJti(randomUUID())
    .sign(privateKey)
  return { access_token: token, token_type: 'Bearer', expires_in: lifetimeSeconds, scope: 'read' }
})

process.on('disconnect', () => process.exit())
await app.listen({ host: '127.0.0.1', port: Number(port) })
process.send('listening')
