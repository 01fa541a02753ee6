import { directoryOption, withAuthority } from '../terminal/authority.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { counted, json, note, print } from '../terminal/output.ts'
import { issuedFields, nameArgument } from './ca-issue.ts'

export const caRevoke = defineCommand({
  path: ['ca', 'revoke'],
  summary: 'revoke the certificates of a name, and write the CRL',
  details:
    'Revokes the certificate and the earlier ones of this name that have not expired, and writes ca.crl. Only programs\n' +
    'that read this file know of it. The files of the certificate stay; "ca issue" replaces them.',
  positionals: [{ ...nameArgument, description: 'the name of the certificate' }],
  options: { ...directoryOption, ...jsonOption },
  examples: [['bin/mintmark ca revoke billing', 'its key was lost or copied']],
  async run(options, [name = '']) {
    await withAuthority(options.directory, async (context) => {
      const { revokeCertificates } = await import('../../certificates/authority.ts')
      const { revoked } = await revokeCertificates(context, name)
      const list = `${context.directory}/ca.crl`
      if (options.json) {
        const fields = {
          revoked: revoked.map((each) => issuedFields(context.directory, each)),
          crl_file: list,
        }
        print(`${json({ name, ...fields, changed: revoked.length > 0 })}\n`)
      } else if (revoked.length === 0) {
        print(`${name} has no certificate that is valid. ca.crl was written again.\n`)
      } else {
        print(`${name} is revoked: ${counted(revoked.length, 'certificate')}.\n${list}\n`)
        note(
          'Only programs that read this file know of the revocation. If they do not read it here, copy it to ' +
            'them.',
        )
      }
    })
  },
})
