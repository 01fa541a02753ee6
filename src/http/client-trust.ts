import type { IncomingMessage } from 'node:http'
import type { JudgedCertificate, PresentedCertificate } from '../authentication/certificate.ts'
import { CertificateJudge, TrustProblem } from '../authentication/certificate-judge.ts'
import { type ProxyName, proxyStanding, readProxyName } from '../authentication/certificate-proxy.ts'
import { OperatorError } from '../errors.ts'
import type { Clock } from '../lib/clock.ts'
import { OAuthError } from '../refusals.ts'
import {
  type CertificateHeaderForm,
  certificateHeaders,
  readCertificateHeaders,
} from './certificate-header.ts'
import { certificateOf } from './client-certificate.ts'
import { isFromProxySocket } from './proxy-socket.ts'

/** In PEM. Without authorities only those certificates count that clients are registered with. */
export interface ClientTrustFiles {
  readonly authorities: string | undefined
  readonly revocationLists: string | undefined
}

/** The certificates of callers, judged by the CAs and revocation lists of today. */
export interface ClientTrust {
  /** @throws OAuthError for a header with a certificate that does not count. */
  readonly of: (request: IncomingMessage) => JudgedCertificate | undefined
  /**
   * From now on others count, on open connections as well.
   * @throws OperatorError in one line, and then everything stays as it was.
   */
  readonly replace: (files: ClientTrustFiles) => void
  /** When the first revocation list is too old to rely on, in seconds since 1970; undefined without any. */
  readonly listsEndAt: () => number | undefined
}

const settings = {
  authorities: 'MINTMARK_TLS_CLIENT_CA',
  revocationLists: 'MINTMARK_TLS_CLIENT_CRL',
} as const

export interface ClientTrustOptions {
  /** The proxy that sends the certificates of its callers in a header; undefined: such headers are ignored. */
  readonly proxy: { readonly form: CertificateHeaderForm; readonly names: readonly string[] } | undefined
  readonly clock: Clock
}

/** @throws OperatorError in one line. */
export function openClientTrust(files: ClientTrustFiles, { proxy, clock }: ClientTrustOptions): ClientTrust {
  function inWords<Result>(work: () => Result): Result {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof TrustProblem)) throw error
      throw new OperatorError(`${settings[error.file]}: cannot be used: it ${error.message}.`, {
        cause: error,
      })
    }
  }
  const judge = inWords(() => new CertificateJudge(files))
  const names = proxy?.names.map(proxyName) ?? []
  const judged = (presented: PresentedCertificate | undefined) =>
    presented === undefined ? undefined : judge.judge(presented)
  function standingOf({ socket }: IncomingMessage, own: JudgedCertificate | undefined) {
    if (isFromProxySocket(socket)) return 'proxy'
    return own === undefined ? 'other' : proxyStanding(own, names, clock.nowSeconds())
  }
  return {
    of(request) {
      const own = judged(certificateOf(request))
      if (proxy === undefined) return own
      const headers = certificateHeaders(request.rawHeaders)
      const standing = standingOf(request, own)
      if (headers !== undefined && standing !== 'proxy')
        throw new OAuthError('certificate_header_untrusted', withThumbprint(own))
      // The certificate of the proxy is never that of a caller.
      if (standing !== 'other')
        return headers === undefined ? undefined : judged(readCertificateHeaders(headers, proxy.form))
      return own
    },
    replace: (next) => inWords(() => judge.replace(next)),
    listsEndAt: () => judge.listsEndAt,
  }
}

/** Says in the record whose connection it was. */
const withThumbprint = (own: JudgedCertificate | undefined) =>
  own === undefined ? {} : { credentialId: own.thumbprint }

function proxyName(text: string): ProxyName {
  try {
    return readProxyName(text)
  } catch (error) {
    throw new OperatorError(
      `MINTMARK_CLIENT_CERTIFICATE_PROXY: "${text}" cannot be used: it ${(error as Error).message}.`,
      { cause: error },
    )
  }
}
