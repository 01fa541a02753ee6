import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Provider } from 'oidc-provider'

/**
 * npm's oidc-provider, set up for the same grant: its store in memory, its secrets in plain text, no log, and
 * JWT access tokens by ES256 for one resource, which a request need not name.
 */
const [port, clientsFile] = process.argv.slice(2)
const audience = 'https://bench.example.com'
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const signingKey = { ...privateKey.export({ format: 'jwk' }), kid: 'peer', alg: 'ES256', use: 'sig' }

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: JSON.parse(readFileSync(clientsFile, 'utf8')).map(({ clientId, secret, jwk }) => ({
    client_id: clientId,
    ...(jwk === undefined
      ? { client_secret: secret, token_endpoint_auth_method: 'client_secret_basic' }
      : { jwks: { keys: [jwk] }, token_endpoint_auth_method: 'private_key_jwt' }),
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    id_token_signed_response_alg: 'ES256',
  })),
  jwks: { keys: [signingKey] },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  scopes: ['read'],
  clientAuthMethods: ['client_secret_basic', 'private_key_jwt'],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      getResourceServerInfo: () => ({
        scope: 'read',
        audience,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
})

process.on('disconnect', () => process.exit())
provider.listen(Number(port), '127.0.0.1', () => process.send('listening'))
