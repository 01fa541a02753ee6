import { certificateDays, parseDays } from '../../certificates/lifetime.ts'
import { directoryOption, withAuthority } from '../terminal/authority.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { json, print, shownMoment } from '../terminal/output.ts'
import { issuedFields, nameArgument } from './ca-issue.ts'

export const caRenew = defineCommand({
  path: ['ca', 'renew'],
  summary: 'renew a certificate, or all that are due',
  details:
    'The new certificate has the same names, uses and lifetime. It has the same key too, so certificate and key belong\n' +
    'together at every moment; --new-key makes another one and replaces both at once. The earlier certificate stays valid\n' +
    'until it expires. Without NAME it renews each certificate of which less than a third of its life is left, and writes\n' +
    'a new ca.crl: run that once a day.',
  positionals: [
    {
      ...nameArgument,
      description: 'the name of the certificate; otherwise all that are due',
      optional: true,
    },
  ],
  options: {
    days: {
      type: 'string',
      value: 'DAYS',
      description: `how long it lives, at most ${certificateDays.most}; otherwise as long as before`,
    },
    'new-key': { type: 'boolean', description: 'with a new key' },
    ...directoryOption,
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark ca renew billing', 'now, with the same key'],
    ['bin/mintmark ca renew billing --new-key', 'with another key'],
    ['bin/mintmark ca renew', 'all that are due'],
  ],
  async run(options, [name]) {
    await withAuthority(options.directory, async (context) => {
      const days = options.days === undefined ? undefined : parseDays(options.days, certificateDays)
      const { renewCertificate, renewDue } = await import('../../certificates/renewal.ts')
      const how = { days, withNewKey: options['new-key'] }
      const renewed =
        name === undefined ? await renewDue(context, how) : [await renewCertificate(context, name, how)]
      if (options.json) {
        print(`${json({ renewed: renewed.map((each) => issuedFields(context.directory, each)) })}\n`)
        return
      }
      if (renewed.length === 0) print('No certificate is due. ca.crl was written again.\n')
      for (const each of renewed)
        print(
          `${each.name} is renewed${how.withNewKey ? ' with a new key' : ''}, valid until ${shownMoment(each.expiresAt)}.\n`,
        )
    })
  },
})
