import { issuerWords } from '../../administration/trust-definition.ts'
import { readIssuers } from '../../administration/trust-store.ts'
import type { TrustedIssuer } from '../../registry/issuer.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { counted, json, jsonLine, note, print } from '../terminal/output.ts'
import { Table } from '../terminal/table.ts'
import { accessText, adviceOn, conditionText, demandTexts, keysText } from '../terminal/trust-words.ts'

/** Loaded where it is used, because a process that serves has no use for it. */
const changes = () => import('../../administration/trust-change-store.ts')

const issuerArgument = { name: 'ISSUER', description: 'the issuer, as its assertions name it (iss)' } as const

export const trustList = defineCommand({
  path: ['trust', 'list'],
  summary: 'list the issuers whose assertions are accepted, and their rules',
  options: { ...jsonOption },
  examples: [['bin/mintmark trust list', 'a line for each rule']],
  async run(options) {
    await withDatabase(async ({ database }) => {
      const issuers = [...(await readIssuers(database.prisma)).values()]
      if (options.json) {
        print(`${json({ trust: issuers.map(issuerWords) })}\n`)
        return
      }
      print(trustTable(issuers))
      for (const advice of issuers.flatMap(({ rules }) => rules.flatMap(adviceOn))) note(advice)
    })
  },
})

function trustTable(issuers: readonly TrustedIssuer[]): string {
  if (issuers.length === 0) return 'No issuer is trusted.\n'
  const titles = ['ISSUER', 'STATUS', 'KEYS', 'RULE', 'CONDITIONS', 'FOR', 'MAY HAVE', 'MUST BRING', 'OWNER']
  return new Table(titles.map((title) => ({ title }))).render(
    issuers.flatMap(({ issuer, status, owner, keys, rules }) => {
      const begins = [issuer, status, keysText(keys)]
      if (rules.length === 0) return [[...begins, '-', '', '', '', '', owner ?? '-']]
      return rules.map((rule) => [
        ...begins,
        rule.rule,
        rule.conditions.map(conditionText).join(', ') || 'anybody',
        rule.clientId ?? 'any workload',
        accessText(rule.access),
        demandTexts(rule).join(', ') || '-',
        owner ?? '-',
      ])
    }),
  )
}

export const trustRemove = defineCommand({
  path: ['trust', 'remove'],
  summary: 'remove a rule, or an issuer with all its rules',
  details:
    'In force on every replica when the command returns. Tokens that were issued live until they expire.',
  positionals: [{ name: 'RULE', description: 'the name of the rule', optional: true }],
  options: {
    issuer: { type: 'string', value: 'ISSUER', description: 'an issuer instead, with all its rules' },
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark trust remove deploy', 'one rule'],
    ['bin/mintmark trust remove --issuer https://token.actions.githubusercontent.com', 'all of an issuer'],
  ],
  async run(options, [rule]) {
    const { issuer } = options
    if ((issuer === undefined) === (rule === undefined))
      throw usageError('Name a rule, or an issuer with --issuer.')
    const { removeIssuer, removeRule } = await changes()
    await withDatabase(async (connection) => {
      if (issuer !== undefined) {
        const { rules } = await removeIssuer(connection, issuer)
        if (options.json) print(`${jsonLine({ issuer, rules, status: 'deleted' })}\n`)
        else print(`${issuer} is no longer trusted; ${counted(rules.length, 'rule')} removed with it.\n`)
        return
      }
      const removed = await removeRule(connection, rule ?? '')
      if (options.json) print(`${jsonLine({ rule, issuer: removed.issuer, status: 'deleted' })}\n`)
      else print(`${rule} is removed. ${removed.issuer} is still trusted.\n`)
    })
  },
})

export const trustDisable = defineCommand({
  path: ['trust', 'disable'],
  summary: 'accept no assertion of an issuer until it is enabled again',
  positionals: [issuerArgument],
  options: { ...jsonOption },
  examples: [['bin/mintmark trust disable https://gitlab.com', 'in force when the command returns']],
  run: (options, [issuer = '']) => setStatus(issuer, 'disabled', options.json),
})

export const trustEnable = defineCommand({
  path: ['trust', 'enable'],
  summary: 'accept assertions of an issuer again',
  positionals: [issuerArgument],
  options: { ...jsonOption },
  examples: [['bin/mintmark trust enable https://gitlab.com', 'by the same rules as before']],
  run: (options, [issuer = '']) => setStatus(issuer, 'active', options.json),
})

async function setStatus(issuer: string, status: 'active' | 'disabled', asJson: boolean): Promise<void> {
  const { setIssuerStatus } = await changes()
  await withDatabase(async (connection) => {
    const changed = await setIssuerStatus(connection, issuer, status)
    const word = status === 'active' ? 'enabled' : 'disabled'
    if (asJson) print(`${jsonLine({ issuer, status, changed })}\n`)
    else print(`${issuer} ${changed ? 'is' : 'was already'} ${word}.\n`)
  })
}
