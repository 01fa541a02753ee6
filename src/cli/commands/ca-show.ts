import type { AuthorityOverview, ShownCertificate } from '../../certificates/overview.ts'
import { CertificateProblem } from '../../certificates/problem.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { nearest } from '../../lib/suggest.ts'
import { directoryOption, withAuthority } from '../terminal/authority.ts'
import { drawAuthority, registrationFields } from '../terminal/authority-table.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { json, note, print, shownMoment } from '../terminal/output.ts'
import { renderFields } from '../terminal/table.ts'
import { issuedFields } from './ca-issue.ts'

export const caShow = defineCommand({
  path: ['ca', 'show'],
  summary: 'show the CA and its certificates: what each is for, and when it expires',
  details:
    'LIFE is how much of its life a certificate has left. due: less than a third, so renew it. With NAME it shows one\n' +
    'certificate, with its thumbprint and the fields by which a client can be registered that proves itself with it.',
  positionals: [{ name: 'NAME', description: 'one certificate; otherwise all', optional: true }],
  options: { ...directoryOption, ...jsonOption },
  examples: [
    ['bin/mintmark ca show', 'the certificate that expires first is at the top'],
    ['bin/mintmark ca show billing', 'one of them'],
  ],
  async run(options, [name]) {
    await withAuthority(options.directory, async ({ directory, now }) => {
      const { authorityOverview } = await import('../../certificates/overview.ts')
      const overview = authorityOverview(directory, now)
      if (name !== undefined) {
        const found = requireCertificate(overview, name)
        if (options.json) print(`${json(certificateFields(directory, found))}\n`)
        else print(certificateText(directory, found))
        return
      }
      if (options.json) print(`${json(overviewFields(directory, overview))}\n`)
      else print(drawAuthority(overview, now))
      const due = [...overview.certificates, { ...overview.list, name: 'ca.crl' }].filter(
        ({ state }) => state === 'due' || state === 'expired',
      )
      if (due.length > 0)
        note(`${due.map((each) => each.name).join(', ')}: due. "bin/mintmark ca renew" renews what is due.`)
    })
  },
})

function requireCertificate({ certificates }: AuthorityOverview, name: string): ShownCertificate {
  const found = certificates.find((each) => each.name === name)
  if (found !== undefined) return found
  const near = nearest(
    name,
    certificates.map((each) => each.name),
  )
  throw new CertificateProblem('certificate_missing', { name, nearest: near })
}

function certificateFields(directory: string, shown: ShownCertificate): Record<string, unknown> {
  const { state, files, thumbprint, name, names } = shown
  return {
    ...issuedFields(directory, shown),
    state,
    files,
    'x5t#S256': thumbprint ?? null,
    registration: Object.fromEntries(registrationFields(`CN=${name}`, names)),
  }
}

function overviewFields(directory: string, overview: AuthorityOverview): Record<string, unknown> {
  const { subject, issuedAt, expiresAt, state, permitted, list, certificates } = overview
  return {
    ca: {
      subject,
      state,
      issued_at: optionalMoment(issuedAt),
      expires_at: optionalMoment(expiresAt),
      permitted,
      certificate_file: `${directory}/ca.crt`,
    },
    crl: {
      state: list.state,
      issued_at: optionalMoment(list.issuedAt),
      expires_at: optionalMoment(list.expiresAt),
      revoked: list.revoked,
      crl_file: `${directory}/ca.crl`,
    },
    certificates: certificates.map((each) => certificateFields(directory, each)),
  }
}

function certificateText(directory: string, shown: ShownCertificate): string {
  const { name, state, files, uses, names, issuedAt, expiresAt, revokedAt, serialNumber, thumbprint } = shown
  return renderFields([
    ['name', name],
    ['state', state],
    ['uses', uses.join(' and ')],
    ['issued', shownMoment(issuedAt)],
    ['expires', shownMoment(expiresAt)],
    ['revoked', shownMoment(revokedAt)],
    ['serial number', serialNumber],
    ['x5t#S256', thumbprint ?? '-'],
    ['files', `${directory}/${name} (${files})`],
    ...registrationFields(`CN=${name}`, names),
  ])
}
