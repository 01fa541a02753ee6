import type { IncomingMessage } from 'node:http'
import type { JudgedCertificate } from '../authentication/certificate.ts'
import { CertificateJudge, TrustProblem } from '../authentication/certificate-judge.ts'
import { OperatorError } from '../errors.ts'
import { certificateOf } from './client-certificate.ts'

/** In PEM. Without authorities only those certificates count that clients are registered with. */
export interface ClientTrustFiles {
  readonly authorities: string | undefined
  readonly revocationLists: string | undefined
}

/** The certificates of callers, judged by the CAs and revocation lists of today. */
export interface ClientTrust {
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

/** @throws OperatorError in one line. */
export function openClientTrust(files: ClientTrustFiles): ClientTrust {
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
  return {
    of(request) {
      const presented = certificateOf(request)
      return presented === undefined ? undefined : judge.judge(presented)
    },
    replace: (next) => inWords(() => judge.replace(next)),
    listsEndAt: () => judge.listsEndAt,
  }
}
