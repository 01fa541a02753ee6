import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fastify, { type FastifyInstance } from 'fastify'

/**
 * The floor: a lower limit for the cost of any token service on this framework. Bare Fastify answers the same
 * form POST, and each answer costs one ES256 signature. It has no checks, no database, no log and no extra
 * headers.
 *
 * With "bare" as the second argument it does not sign: it always sends the same answer, of the same size.
 * With the files of a certificate and its key as further arguments, it uses TLS.
 */
const [port = '0', kind, certificateFile, privateKeyFile] = process.argv.slice(2)
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const app =
  certificateFile === undefined || privateKeyFile === undefined
    ? fastify({ logger: false })
    : (fastify({
        logger: false,
        https: { cert: readFileSync(certificateFile), key: readFileSync(privateKeyFile) },
      }) as unknown as FastifyInstance)
app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'buffer' }, (_request, body, done) =>
  done(null, body),
)

const header = Buffer.from(
  JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid: randomBytes(32).toString('base64url') }),
).toString('base64url')

/**
 * The claims have the same names and lengths as those of the service, so that the token has the same size.
 */
function makeToken(): string {
  const now = Math.floor(Date.now() / 1000)
  const claims = Buffer.from(
    `{"iss":"http://127.0.0.1:${port}","sub":"client-1","client_id":"client-1","aud":"https://bench.example.com",` +
      `"iat":${now},"exp":${now + 300},"jti":"00000000-0000-4000-8000-000000000000","scope":"read"}`,
  )
  const input = `${header}.${claims.toString('base64url')}`
  return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey }).toString('base64url')}`
}

const answer = (token: string): string =>
  `{"access_token":"${token}","token_type":"Bearer","expires_in":300,"scope":"read"}`
const sameAnswer = answer(makeToken())

app.post('/token', (_request, reply) => {
  reply.header('content-type', 'application/json')
  return reply.send(kind === 'bare' ? sameAnswer : answer(makeToken()))
})

const keySet = JSON.stringify({
  keys: [
    {
      kty: 'EC',
      crv: 'P-256',
      x: randomBytes(32).toString('base64url'),
      y: randomBytes(32).toString('base64url'),
      kid: randomBytes(32).toString('base64url'),
      alg: 'ES256',
      use: 'sig',
    },
  ],
})
const etag = `"${createHash('sha256').update(keySet).digest('base64url')}"`

app.get('/.well-known/jwks.json', (request, reply) => {
  reply.header('content-type', 'application/json').header('etag', etag)
  if (request.headers['if-none-match'] === etag) return reply.code(304).send()
  return reply.send(keySet)
})

process.on('disconnect', () => process.exit())
await app.listen({ host: '127.0.0.1', port: Number(port) })
process.send?.('listening')
