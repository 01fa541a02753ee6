import { authorityDays, parseDays } from '../../certificates/lifetime.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { developmentOnly, directoryOption, withAuthority } from '../terminal/authority.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { json, note, print, shownMoment } from '../terminal/output.ts'

export const caInit = defineCommand({
  path: ['ca', 'init'],
  summary: 'create a CA for development and tests',
  details:
    `${developmentOnly}\n\n` +
    'It is a directory of files: ca.crt for everybody who should trust it, ca.key, and ca.crl with what was revoked.\n' +
    'A program that trusts a CA trusts it for every name. With --permit the CA can sign only for those names and\n' +
    'networks, and for localhost: they are in ca.crt, so every program refuses other names.',
  options: {
    days: {
      type: 'string',
      value: 'DAYS',
      description: `how long it lives; ${authorityDays.usual} by default`,
    },
    permit: {
      type: 'string',
      value: 'DOMAIN',
      multiple: true,
      description: 'a domain, with all below it, or a network that it may sign for; otherwise any',
    },
    ...directoryOption,
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark ca init', 'in the data directory'],
    [
      'bin/mintmark ca init --permit example.internal --permit 10.0.0.0/8',
      'a stolen key is useless elsewhere',
    ],
  ],
  async run(options) {
    await withAuthority(options.directory, async (context) => {
      const days = options.days === undefined ? authorityDays.usual : parseDays(options.days, authorityDays)
      // Loaded here: the library takes a quarter of a second.
      const { createAuthority } = await import('../../certificates/authority.ts')
      const { subject, expiresAt, permitted } = await createAuthority(context, days, options.permit)
      const certificate = `${context.directory}/ca.crt`
      if (options.json) {
        const fields = {
          subject: `CN=${subject}`,
          certificate,
          expires_at: optionalMoment(expiresAt),
          permitted,
        }
        print(`${json({ ...fields, status: 'created' })}\n`)
      } else {
        print(`${subject} is created, valid until ${shownMoment(expiresAt)}.\n${certificate}\n`)
      }
      note(`\n${developmentOnly}`)
      if (permitted.length === 0)
        note('It can sign for any name. "ca init --permit DOMAIN" creates one that cannot.')
    })
  },
})
