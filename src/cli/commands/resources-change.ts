import type { Mistake } from '../../administration/mistake.ts'
import type { ResourceStep } from '../../administration/plan.ts'
import { OperatorError } from '../../errors.ts'
import { signingAlgorithms, tokenTyps } from '../../keys/signing-algorithm.ts'
import { yesOrNo } from '../terminal/arguments.ts'
import { changedClaims, claimOptions, claimWords, noClaimOptions } from '../terminal/claim-options.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { confirm } from '../terminal/confirm.ts'
import { withDatabase } from '../terminal/connect.ts'
import { noteOfExternal } from '../terminal/external-note.ts'
import { fieldOf, optionSentence, someOf, throwInWords } from '../terminal/mistakes.ts'
import { counted, json, print } from '../terminal/output.ts'
import { describeChanges, warnOfAlgorithms } from './seed.ts'

const positionals = [{ name: 'AUDIENCE', description: 'the audience of its tokens' }] as const

const fieldOptions = {
  name: { type: 'string', value: 'NAME', description: 'a name for people' },
  'token-lifetime': { type: 'string', value: 'SECONDS', description: 'how long its tokens live' },
  'signing-algorithm': {
    type: 'string',
    value: 'ALGORITHM',
    description: `what signs its tokens: ${signingAlgorithms.join(', ')}`,
  },
  'token-typ': {
    type: 'string',
    value: 'TYP',
    description: `the typ in the header of its tokens: ${tokenTyps.join(' or ')}`,
  },
  external: {
    type: 'string',
    value: 'YES',
    description: 'somebody else who trusts this issuer: yes or no',
  },
  'subject-form': {
    type: 'string',
    value: 'FORM',
    description: 'the sub of its tokens, like system:client:{client_id}, if it is external',
  },
  ...claimOptions,
} as const

export const resourcesCreate = defineCommand({
  path: ['resources', 'create'],
  summary: 'create a resource that tokens can be for',
  details:
    'No client has access to it yet: "clients access grant" gives access. To create many, write a file and use "seed". An\n' +
    'external resource is an audience of somebody else: a cloud, or the token exchange of an API provider. Unless you say\n' +
    'otherwise its tokens have RS256 and the typ JWT, which all of them take.',
  positionals,
  options: {
    ...fieldOptions,
    scope: {
      type: 'string',
      value: 'SCOPE',
      multiple: true,
      description: 'a scope that clients can be given',
    },
    ...jsonOption,
  },
  examples: [
    [
      'bin/mintmark resources create https://orders.example.com --scope orders:read --scope orders:write',
      'with two scopes',
    ],
    [
      'bin/mintmark resources create sts.amazonaws.com --external yes --subject-form system:client:{client_id}',
      'tokens that AWS exchanges for its own',
    ],
  ],
  async run(options, [audience = '']) {
    const words = { audience, ...readFields(options), scopes: [...new Set(options.scope)] }
    const { parseResource } = await import('../../administration/parse.ts')
    const [mistake] = parseResource(words).mistakes
    if (mistake !== undefined) throw usageError(inWordsOf(mistake))
    const { createResource } = await import('../../administration/resource-store.ts')
    await withDatabase(async (connection) => {
      const step = await createResource(connection, words).catch(throwInWords(inWordsOf))
      report(step, options.json)
      warnOfAlgorithms({ resources: [step.definition] }, connection.config.signingAlgorithms)
      noteOfExternal({ resources: [step.definition] }, connection.config)
    })
  },
})

export const resourcesUpdate = defineCommand({
  path: ['resources', 'update'],
  summary: 'change a resource',
  details:
    'What you do not name stays as it is. In force on every replica when the command returns. A scope that a client may\n' +
    'still ask for cannot be removed: take it away from the client first ("clients access remove").',
  positionals,
  options: {
    ...fieldOptions,
    'add-scope': {
      type: 'string',
      value: 'SCOPE',
      multiple: true,
      description: 'a scope that it did not have',
    },
    'remove-scope': { type: 'string', value: 'SCOPE', multiple: true, description: 'a scope that it loses' },
    'no-subject-form': { type: 'boolean', description: 'the sub of its tokens is the id of the client' },
    ...noClaimOptions,
    ...jsonOption,
  },
  examples: [
    [
      'bin/mintmark resources update https://orders.example.com --token-lifetime 600',
      'tokens of ten minutes',
    ],
    ['bin/mintmark resources update https://orders.example.com --add-scope orders:delete', 'one more scope'],
    [
      'bin/mintmark resources update https://orders.example.com --token-typ JWT',
      'for a framework that refuses at+jwt',
    ],
  ],
  async run(options, [audience = '']) {
    const fields = readFields(options)
    const [added, removed] = [options['add-scope'], options['remove-scope']]
    const [lost, withoutForm] = [options['no-claim'], options['no-subject-form']]
    if (withoutForm && options['subject-form'] !== undefined)
      throw usageError('--no-subject-form: not with --subject-form.')
    const said = Object.keys(fields).length + added.length + removed.length + lost.length
    if (said === 0 && !withoutForm)
      throw usageError('say what to change, for example --token-lifetime 600. "--help" lists what there is.')
    const { updateResource } = await import('../../administration/resource-store.ts')
    await withDatabase(async (connection) => {
      const step = await updateResource(connection, audience, (words) => {
        const absent = removed.find((scope) => !words.scopes.includes(scope))
        if (absent !== undefined)
          throw new OperatorError(`--remove-scope: ${audience} has no scope ${JSON.stringify(absent)}.`)
        const scopes = new Set([...words.scopes.filter((scope) => !removed.includes(scope)), ...added])
        const { subject_form: form, ...others } = words
        const subject = withoutForm || form === undefined ? {} : { subject_form: form }
        const claims = changedClaims(words.claims, claimWords(options.claim), lost)
        return { ...others, ...subject, ...fields, scopes: [...scopes], claims }
      }).catch(throwInWords(inWordsOf))
      report(step, options.json)
      warnOfAlgorithms({ resources: [step.definition] }, connection.config.signingAlgorithms)
      noteOfExternal({ resources: [step.definition] }, connection.config)
    })
  },
})

export const resourcesDelete = defineCommand({
  path: ['resources', 'delete'],
  summary: 'delete a resource that no client has access to',
  details:
    'Tokens that were issued before live until they expire. A resource with the same audience can be created again.',
  positionals,
  options: { yes: { type: 'boolean', description: 'do not ask' }, ...jsonOption },
  examples: [
    [
      'bin/mintmark resources delete https://orders.example.com',
      'asks first; refuses if there is no terminal',
    ],
  ],
  async run(options, [audience = '']) {
    const { deleteResource, scopesOfResource } = await import('../../administration/resource-store.ts')
    await withDatabase(async (connection) => {
      await scopesOfResource(connection.database.prisma, audience)
      const question = `Delete ${audience}? Type "delete" to go on: `
      if (!options.yes) await confirm(question, 'delete', connection.signal)
      await deleteResource(connection, audience)
      if (options.json) print(`${json({ audience, status: 'deleted' })}\n`)
      else print(`${audience} is deleted.\n`)
    })
  },
})

interface FieldValues {
  readonly name: string | undefined
  readonly 'token-lifetime': string | undefined
  readonly 'signing-algorithm': string | undefined
  readonly 'token-typ': string | undefined
  readonly external: string | undefined
  readonly 'subject-form': string | undefined
  readonly claim: readonly string[]
}

/** The options as a file would say them, so that one schema judges both. */
function readFields(options: FieldValues) {
  const { name, 'token-lifetime': lifetime, 'signing-algorithm': algorithm, 'token-typ': typ } = options
  const external = yesOrNo('external', options.external)
  const { 'subject-form': form, claim } = options
  if (lifetime !== undefined && !/^\d{1,9}$/.test(lifetime))
    throw usageError('--token-lifetime: must be a whole number of seconds, for example 300.')
  return {
    ...(name === undefined ? {} : { name }),
    ...(lifetime === undefined ? {} : { token_lifetime: Number(lifetime) }),
    ...(algorithm === undefined ? {} : { signing_algorithm: algorithm }),
    ...(typ === undefined ? {} : { token_typ: typ }),
    ...(external === undefined ? {} : { external }),
    ...(form === undefined ? {} : { subject_form: form }),
    ...(claim.length === 0 ? {} : { claims: claimWords(claim) }),
  }
}

function report({ definition: { audience }, status, changes }: ResourceStep, asJson: boolean): void {
  if (asJson) {
    const described = Object.fromEntries(changes.map(({ field, from, to }) => [field, { from, to }]))
    print(`${json({ audience, status, changes: described })}\n`)
  } else if (status === 'unchanged') print(`${audience} is like this already. Nothing was changed.\n`)
  else print(`${audience} is ${status}${changes.length === 0 ? '' : `: ${describeChanges(changes)}`}.\n`)
}

const optionOfField: Readonly<Record<string, string>> = {
  audience: 'AUDIENCE',
  name: '--name',
  scopes: '--scope',
  token_lifetime: '--token-lifetime',
  signing_algorithm: '--signing-algorithm',
  token_typ: '--token-typ',
  external: '--external',
  subject_form: '--subject-form',
  claims: '--claim',
}

/** @param holders clients, and rules, which a plan calls "the rule NAME". */
function scopeInUse(scope: string, holders: readonly string[]): string {
  const rules = holders.filter((holder) => holder.startsWith('the rule '))
  const clients = holders.filter((holder) => !rules.includes(holder))
  const who = [
    ...(clients.length === 0 ? [] : [`${counted(clients.length, 'client')} (${someOf(clients)})`]),
    ...(rules.length === 0 ? [] : [someOf(rules)]),
  ]
  const how = [
    ...(clients.length === 0 ? [] : ['Remove it there first: "bin/mintmark clients access remove".']),
    ...(rules.length === 0
      ? []
      : [
          'Apply a seed file in which no rule gives it, or remove the rule: "bin/mintmark trust remove RULE".',
        ]),
  ]
  return `--remove-scope: ${JSON.stringify(scope)} may still be requested by ${who.join(' and ')}. ${how.join(' ')}`
}

function inWordsOf(mistake: Mistake): string {
  if (mistake.code === 'scope_in_use') return scopeInUse(mistake.scope, mistake.holders)
  return `${optionOfField[fieldOf(mistake, 'resources')] ?? 'AUDIENCE'}: ${optionSentence(mistake)}`
}
