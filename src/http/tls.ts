import { constants } from 'node:crypto'
import { Server } from 'node:https'

/** The certificate chain and the private key, both in PEM. */
export interface TlsFiles {
  readonly certificate: string
  readonly privateKey: string
}

/**
 * Only suites that authenticate what they encrypt (AEAD) and that have forward secrecy (RFC 9325 §4.2). The
 * first three are for TLS 1.3, which has no others. The rest is for TLS 1.2. By default, Node also offers
 * suites with CBC, and suites without forward secrecy.
 */
const suites = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

/**
 * A caller that offers protocols, and none that is served, gets no connection (RFC 7301 §3.2). HTTP/1.0 is spoken too, and
 * `curl --http1.0` offers nothing else. Node offers HTTP/1.1 alone.
 */
const protocols = ['http/1.1', 'http/1.0']

/** A connection is never negotiated again, so the certificate of the caller stays the one of the handshake. */
const { SSL_OP_NO_RENEGOTIATION: noRenegotiation, SSL_OP_NO_TICKET: noResumption } = constants

/**
 * The options of Node for a server that speaks TLS.
 * @param asks whether callers are asked for a certificate. The handshake refuses no caller, so that a refusal has an
 * answer and a record. A caller that is asked cannot resume a session, because the session would bring an earlier
 * certificate.
 */
export function secureContext({ certificate, privateKey }: TlsFiles, asks = false) {
  const common = {
    cert: certificate,
    key: privateKey,
    minVersion: 'TLSv1.2' as const,
    ciphers: suites,
    ALPNProtocols: protocols,
  }
  if (!asks) return { ...common, secureOptions: noRenegotiation }
  // No CA is named: callers with several certificates have to choose one, and those with a self-signed one may send it.
  const asking = { requestCert: true, rejectUnauthorized: false, ca: [] as string[] }
  return { ...common, ...asking, secureOptions: noRenegotiation | noResumption }
}

/**
 * Uses another certificate for new connections. Open connections go on with the one before. Sessions can
 * still be resumed, also on another worker, because the keys of the session tickets stay the same.
 */
export function replaceCertificate(server: object | undefined, files: TlsFiles, asks: boolean): void {
  if (!(server instanceof Server)) return
  const ticketKeys = server.getTicketKeys()
  server.setSecureContext(secureContext(files, asks))
  server.setTicketKeys(ticketKeys)
}
