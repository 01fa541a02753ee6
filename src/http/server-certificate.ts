import { X509Certificate } from 'node:crypto'
import { momentText } from '../lib/moment.ts'
import { limits } from '../limits.ts'

interface Validity {
  readonly validFrom: string
  readonly validTo: string
}

/**
 * Each is told when it begins. Nobody accepts a certificate before and after its time. The service goes on: its health may
 * still be asked for.
 */
export interface CertificateEvents {
  onExpiring(validity: Validity): void
  onExpired(validity: Validity): void
  onNotYetValid(validity: Validity): void
}

const warnings = {
  tls_certificate_expiring: 'onExpiring',
  tls_certificate_expired: 'onExpired',
  tls_certificate_not_yet_valid: 'onNotYetValid',
} as const satisfies Record<string, keyof CertificateEvents>

type CertificateWarning = keyof typeof warnings

/** Who renews does it when a third of the life is left. With less than this, nobody did. */
const shareLeft = 1 / 6
const secondsLeftMax = 14 * 86_400

/** The certificate with which this service speaks TLS. */
export class ServerCertificate {
  readonly #nowSeconds: () => number
  readonly #events: CertificateEvents
  #validity: { readonly from: number; readonly to: number } | undefined
  #warning: CertificateWarning | undefined
  // Also a service whose health nobody asks for says it.
  readonly #timer = setInterval(() => this.warnings(), limits.certificateLookMilliseconds).unref()

  /** @param certificate the chain in PEM, beginning with its own. Undefined: the service speaks no TLS. */
  constructor(certificate: string | undefined, nowSeconds: () => number, events: CertificateEvents) {
    this.#nowSeconds = nowSeconds
    this.#events = events
    this.replace(certificate)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  replace(certificate: string | undefined): void {
    if (certificate === undefined) this.#validity = undefined
    else {
      const { validFromDate, validToDate } = new X509Certificate(certificate)
      this.#validity = { from: validFromDate.getTime() / 1000, to: validToDate.getTime() / 1000 }
    }
    this.#warning = undefined
    this.warnings()
  }

  /** What is wrong now. */
  warnings(): readonly CertificateWarning[] {
    if (this.#validity === undefined) return []
    const { from, to } = this.#validity
    const warning = warningAt(this.#nowSeconds(), from, to)
    if (warning !== undefined && warning !== this.#warning)
      this.#events[warnings[warning]]({ validFrom: momentText(from), validTo: momentText(to) })
    this.#warning = warning
    return warning === undefined ? [] : [warning]
  }
}

function warningAt(now: number, from: number, to: number): CertificateWarning | undefined {
  if (now > to) return 'tls_certificate_expired'
  if (now < from) return 'tls_certificate_not_yet_valid'
  return to - now < Math.min((to - from) * shareLeft, secondsLeftMax) ? 'tls_certificate_expiring' : undefined
}
