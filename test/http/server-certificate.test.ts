/** An own certificate that callers refuse, or will soon, is told once in the log, and each time under `warnings`. */
import { expect, test, vi } from 'vitest'
import { type CertificateEvents, ServerCertificate } from '../../src/http/server-certificate.ts'
import { limits } from '../../src/limits.ts'
import { freezeTime, makeCertificate } from '../support/x509.ts'

const day = 86_400
const now = freezeTime()

/** @param life in days, which begins now. */
function certificateOf(life: number, from = 0): string {
  return makeCertificate(undefined, { from: from * day, until: (from + life) * day }).pem
}

const eventsTo = (tell: (warning: string, validity: object) => void): CertificateEvents => ({
  onExpiring: (validity) => tell('tls_certificate_expiring', validity),
  onExpired: (validity) => tell('tls_certificate_expired', validity),
  onNotYetValid: (validity) => tell('tls_certificate_not_yet_valid', validity),
})

test.each([
  ['a year, and 14 days are left', 365, 351, undefined],
  ['a year, and less is left', 365, 351.1, 'tls_certificate_expiring'],
  ['90 days, and 14 are left', 90, 76, undefined],
  ['a day, and a sixth is left', 1, 5 / 6, undefined],
  ['a day, and less is left', 1, 5 / 6 + 0.01, 'tls_certificate_expiring'],
  ['its last second', 90, 90, 'tls_certificate_expiring'],
  ['the second after it', 90, 90 + 1 / day, 'tls_certificate_expired'],
  ['the second before its first', 90, -1 / day, 'tls_certificate_not_yet_valid'],
  ['its first second', 90, 0, undefined],
])('%s', (_title, life, passed, expected) => {
  const told: string[] = []
  const nowSeconds = () => now + passed * day
  const own = new ServerCertificate(
    certificateOf(life),
    nowSeconds,
    eventsTo((warning) => told.push(warning)),
  )
  const warnings = expected === undefined ? [] : [expected]
  expect([own.warnings(), own.warnings(), told]).toEqual([warnings, warnings, warnings])
})

test('what begins while it runs is told, and another certificate ends it', () => {
  const told: object[] = []
  let passed = 0
  const events = eventsTo((warning, validity) => told.push({ warning, ...validity }))
  const own = new ServerCertificate(certificateOf(60), () => now + passed * day, events)
  for (const days of [1, 50, 51, 61]) {
    passed = days
    own.warnings()
  }
  expect(told).toEqual([
    expect.objectContaining({ warning: 'tls_certificate_expiring' }),
    {
      warning: 'tls_certificate_expired',
      validFrom: new Date(now * 1000).toISOString().replace('.000', ''),
      validTo: new Date((now + 60 * day) * 1000).toISOString().replace('.000', ''),
    },
  ])
  own.replace(certificateOf(90, 60))
  expect(own.warnings()).toEqual([])
  own.replace(certificateOf(60))
  expect(told).toHaveLength(3)
  own.replace(undefined)
  expect(own.warnings()).toEqual([])
})

test('and nobody has to ask for it, until the service closes', ({ onTestFinished }) => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const told: string[] = []
  let passed = 0
  const own = new ServerCertificate(
    certificateOf(60),
    () => now + passed * day,
    eventsTo((warning) => told.push(warning)),
  )
  passed = 51
  vi.advanceTimersByTime(limits.certificateLookMilliseconds - 1)
  expect(told).toEqual([])
  vi.advanceTimersByTime(1)
  expect(told).toEqual(['tls_certificate_expiring'])
  own.close()
  passed = 61
  vi.advanceTimersByTime(limits.certificateLookMilliseconds)
  expect(told).toEqual(['tls_certificate_expiring'])
})
