import { readResources } from '../../administration/plan-store.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { json, note, print } from '../terminal/output.ts'
import { Table } from '../terminal/table.ts'

export const resourcesList = defineCommand({
  path: ['resources', 'list'],
  summary: 'list the resources that tokens are for',
  details:
    'A seed file creates and changes them too; see "seed". An external resource is an audience of somebody else, such as\n' +
    'a cloud. --json also has the claims that all tokens for a resource have.',
  options: { ...jsonOption },
  examples: [
    ['bin/mintmark resources list', 'their audiences and scopes, how long tokens live, and what signs them'],
  ],
  async run(options) {
    await withDatabase(async ({ database }) => {
      const resources = [...(await readResources(database.prisma)).values()]
      if (options.json) {
        const shown = resources.map(({ audience, name, scopes, tokenLifetimeSeconds, ...resource }) => ({
          audience,
          name,
          scopes,
          token_lifetime: tokenLifetimeSeconds,
          signing_algorithm: resource.signingAlgorithm,
          token_typ: resource.tokenTyp,
          external: resource.external === true,
          subject_form: resource.subjectForm ?? null,
          claims: resource.claims ?? {},
        }))
        print(`${json({ resources: shown })}\n`)
        return
      }
      if (resources.length === 0) {
        note('No resources. "bin/mintmark seed --help" shows how to make some.')
        return
      }
      const table = new Table([
        { title: 'AUDIENCE' },
        { title: 'NAME', shrinks: true },
        { title: 'LIFETIME', alignRight: true },
        { title: 'ALGORITHM' },
        { title: 'TYP' },
        { title: 'SUBJECT' },
        { title: 'SCOPES', shrinks: true },
      ])
      const rows = resources.map((resource) => [
        resource.audience,
        resource.name,
        `${resource.tokenLifetimeSeconds} s`,
        resource.signingAlgorithm,
        resource.tokenTyp,
        resource.external === true ? `external: ${resource.subjectForm ?? 'client id'}` : 'client id',
        resource.scopes.join(' '),
      ])
      print(table.render(rows))
    })
  },
})
