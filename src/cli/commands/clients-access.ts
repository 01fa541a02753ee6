import type { Mistake } from '../../administration/mistake.ts'
import { OperatorError } from '../../errors.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { type Connection, withDatabase } from '../terminal/connect.ts'
import { optionSentence, throwInWords } from '../terminal/mistakes.ts'
import { json, note, print } from '../terminal/output.ts'

const positionals = [
  { name: 'CLIENT', description: 'the client id' },
  { name: 'AUDIENCE', description: 'the audience of the resource' },
  { name: 'SCOPES', description: 'scopes, with commas between them', optional: true },
] as const

export const clientsAccessGrant = defineCommand({
  path: ['clients', 'access', 'grant'],
  summary: 'let a client call a resource, with these scopes',
  details:
    'The scopes are added to those that the client has there. Without SCOPES it may get tokens without scopes. In force\n' +
    'on every replica when the command returns.',
  positionals,
  options: { ...jsonOption },
  examples: [
    [
      'bin/mintmark clients access grant billing https://orders.example.com orders:read,orders:write',
      'two scopes',
    ],
  ],
  run: (options, given) => change('grant', given, options.json),
})

export const clientsAccessRemove = defineCommand({
  path: ['clients', 'access', 'remove'],
  summary: 'take scopes away from a client, or all of its access to a resource',
  details:
    'Without SCOPES the client loses all access to the resource. In force on every replica when the command returns.\n' +
    'Tokens that were issued before live until they expire.',
  positionals,
  options: { ...jsonOption },
  examples: [
    ['bin/mintmark clients access remove billing https://orders.example.com orders:write', 'one scope'],
    ['bin/mintmark clients access remove billing https://orders.example.com', 'all access'],
  ],
  run: (options, given) => change('remove', given, options.json),
})

async function change(how: 'grant' | 'remove', given: readonly string[], asJson: boolean): Promise<void> {
  const [clientId = '', audience = '', list = ''] = given
  const scopes = [...new Set(list.split(/[ ,]+/).filter((scope) => scope !== ''))]
  // Loaded here, because a process that serves has no use for it.
  const { granting, removing, updateClient } = await import('../../administration/update.ts')
  const changed = how === 'grant' ? granting(audience, scopes) : removing(audience, scopes)
  await withDatabase(async (connection) => {
    // "Nothing to remove" looks like success, so a mistyped name must be reported.
    if (how === 'remove') await requireScopes(connection, audience, scopes)
    const step = await updateClient(connection, clientId, changed).catch(throwInWords(inWordsOf))
    const access = step.definition.access.find((each) => each.audience === audience)
    if (asJson) {
      print(
        `${json({ client_id: clientId, audience, scopes: access?.scopes ?? null, status: step.status })}\n`,
      )
      return
    }
    const has =
      access === undefined
        ? `no access to ${audience}`
        : `access to ${audience} with ${access.scopes.length === 0 ? 'no scopes' : access.scopes.join(' ')}`
    print(`${clientId} ${step.status === 'unchanged' ? 'already had' : 'has'} ${has}.\n`)
    if (step.definition.access.length === 0)
      note(`${clientId} has no access to any resource, so it gets no tokens.`)
  })
}

async function requireScopes(
  { database }: Connection,
  audience: string,
  scopes: readonly string[],
): Promise<void> {
  const { scopesOfResource } = await import('../../administration/resource-store.ts')
  const known = await scopesOfResource(database.prisma, audience)
  const unknown = scopes.find((scope) => !known.includes(scope))
  if (unknown === undefined) return
  throw new OperatorError(
    `SCOPES: ${audience} has no scope ${JSON.stringify(unknown)}. It has: ${known.join(' ') || 'none'}.`,
  )
}

function inWordsOf(mistake: Mistake): string {
  return `${mistake.path.includes('scopes') ? 'SCOPES' : 'AUDIENCE'}: ${optionSentence(mistake)}`
}
