import { constants } from 'node:crypto'
import { createServer } from 'node:https'
import { createVerifier, requireToken, VerifyError } from '@mintmark/verifier'

/** What FAPI 2.0 §5.2.2 allows with TLS 1.2, and after them those of TLS 1.3. */
const suites = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
]

/**
 * A protected resource as FAPI 2.0 §5.3.4 wants it: it takes tokens from the Authorization header alone, and only those
 * that are bound to a key (DPoP) or to a certificate (mTLS) which the caller has.
 * @param {{
 *   issuer: string, audience: string, origin: string, scope?: string, certificate: string, privateKey: string,
 *   log?: (event: object) => void, fetch?: typeof fetch,
 * }} options `origin` is where callers find it; `certificate` and `privateKey` are its own, in PEM.
 */
export function buildResource({ issuer, audience, origin, scope, certificate, privateKey, log, ...options }) {
  const verifier = createVerifier({
    issuer,
    audience,
    origin,
    name: 'fapi-resource',
    // No RS256 (FAPI 2.0 §5.4).
    algorithms: ['ES256', 'PS256', 'EdDSA'],
    // A proof that is 10 seconds ahead must be accepted (§5.3.2.1), also where our clock is a moment behind.
    leewaySeconds: 15,
    onVerified: log,
    onRefused: log,
    ...options,
  })
  const guard = requireToken(verifier, { scope })
  const tls = {
    cert: certificate,
    key: privateKey,
    minVersion: 'TLSv1.2',
    ciphers: suites.join(':'),
    // Callers are asked for a certificate, of any CA: the token says which one it must be.
    requestCert: true,
    rejectUnauthorized: false,
    // A session that is resumed would come with the certificate of another time.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  }
  return createServer(tls, async (request, response) => {
    const claims = await guard(request, response)
    // It is answered.
    if (claims === undefined) return
    if (claims.cnf === undefined) return refuse(response, verifier.refuse(new VerifyError('token_not_bound')))
    response.setHeader('content-type', 'application/json')
    response.setHeader('cache-control', 'no-store')
    response.end(JSON.stringify({ caller: claims.client_id, accounts: [{ id: '1', balance: 1200 }] }))
  })
}

/** A token that is not bound is of use to whoever finds it, so this profile does not accept it. */
function refuse(response, error) {
  response.writeHead(error.status, {
    'www-authenticate': error.wwwAuthenticate,
    'content-type': 'application/json',
  })
  response.end(JSON.stringify({ error: error.error, error_description: error.message }))
}
