import { readFileSync } from 'node:fs'
import { buildResource } from './resource.js'

const {
  ISSUER = 'https://localhost:8080',
  AUDIENCE = 'https://accounts.example.com',
  PORT = '8443',
  HOST = '127.0.0.1',
  ORIGIN = `https://localhost:${PORT}`,
  SCOPE,
  CERTIFICATE_FILE = '../../data/ca/localhost/tls.crt',
  PRIVATE_KEY_FILE = '../../data/ca/localhost/tls.key',
} = process.env

const server = buildResource({
  issuer: ISSUER,
  audience: AUDIENCE,
  origin: ORIGIN,
  scope: SCOPE,
  certificate: readFileSync(CERTIFICATE_FILE, 'utf8'),
  privateKey: readFileSync(PRIVATE_KEY_FILE, 'utf8'),
  log: (event) => console.log(JSON.stringify(event)),
})
server.listen(Number(PORT), HOST, () => console.log(`${ORIGIN} accepts tokens of ${ISSUER} for ${AUDIENCE}.`))
