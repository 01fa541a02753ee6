import type { AlternativeName } from '../../certificates/alternative-name.ts'
import { lifeLeft } from '../../certificates/lifetime.ts'
import type { AuthorityOverview, CertificateState, ShownCertificate } from '../../certificates/overview.ts'
import { counted, shownMoment } from './output.ts'
import { Table } from './table.ts'

/** Draws what a CA has: a row for each certificate, and of each how much of its life is left. */

const barWidth = 20

interface Dated {
  readonly issuedAt: number
  readonly expiresAt: number
  readonly state: CertificateState
}

export function drawAuthority(overview: AuthorityOverview, now: number): string {
  const { permitted, certificates, list } = overview
  const row = (name: string, dated: Dated, isFor: string): string[] => [
    name,
    dated.state,
    bar(dated, now),
    timeLeft(dated, now),
    shownMoment(dated.expiresAt),
    isFor,
  ]
  const rows = [
    ...certificates.map((each) => row(each.name, each, isFor(each))),
    row('ca.crl', list, `${counted(list.revoked, 'certificate')} revoked`),
    row(
      'ca.crt',
      overview,
      permitted.length === 0 ? 'signs for any name' : `signs for ${permitted.join(', ')}`,
    ),
  ]
  const titles = ['NAME', 'STATE', 'LIFE', 'LEFT', 'EXPIRES']
  const columns = [...titles.map((title) => ({ title })), { title: 'FOR', shrinks: true as const }]
  return new Table(columns).render(rows)
}

/** Full where it was just issued, empty where it has expired. */
function bar(dated: Dated, now: number): string {
  if (dated.state === 'revoked') return '×'.repeat(barWidth)
  // A life that is not over has at least one mark.
  const marks = Math.ceil(lifeLeft(dated, now) * barWidth)
  return '█'.repeat(marks) + '░'.repeat(barWidth - marks)
}

const units = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const

function timeLeft({ state, expiresAt }: Dated, now: number): string {
  if (state === 'revoked') return '-'
  const seconds = Math.abs(expiresAt - now)
  const [unit, length] = units.find(([, size]) => seconds >= 2 * size) ?? units[3]
  const text = counted(Math.round(seconds / length), unit)
  return state === 'expired' ? `${text} ago` : text
}

function isFor({ uses, names, files }: ShownCertificate): string {
  const shown = names.map(({ value }) => value).join(', ')
  const problem = files === 'in place' ? '' : ` (files: ${files})`
  return `${uses.join(' and ')}${shown === '' ? '' : `: ${shown}`}${problem}`
}

/** By what a client is registered that proves itself with this certificate (RFC 8705 §2.1.2). */
export function registrationFields(
  subject: string,
  names: readonly AlternativeName[],
): readonly (readonly [string, string])[] {
  return [
    ['tls_client_auth_subject_dn', subject],
    ...names.map(({ kind, value }) => [`tls_client_auth_san_${kind}`, value] as const),
  ]
}
