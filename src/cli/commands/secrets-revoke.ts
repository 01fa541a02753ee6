import {
  type LeakFinding,
  type LeakOutcome,
  readLeaked,
  revokeLeaked,
} from '../../administration/leaked-secrets.ts'
import { unreadable } from '../../administration/mistake.ts'
import { revokeSecret } from '../../administration/secret-store.ts'
import { secretIdOf } from '../../authentication/secret.ts'
import { readSecretCallers, type SecretCaller } from '../../authentication/secret-use-store.ts'
import { exitCodes } from '../../errors.ts'
import { readBounded } from '../../lib/bounded-file.ts'
import { limits } from '../../limits.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { readInput } from '../terminal/input.ts'
import { counted, json, jsonLine, note, print } from '../terminal/output.ts'
import { Table } from '../terminal/table.ts'
import { callerFields, callerTable } from './secrets.ts'

const standardInput = '-'

export const secretsRevoke = defineCommand({
  path: ['clients', 'secrets', 'revoke'],
  summary: 'revoke a secret: it is refused from the moment this returns',
  details:
    'In force on every replica when the command returns. Tokens that were issued with it live until they expire. --leaked\n' +
    'takes the secret itself on standard input and needs no name. It is compared with its hash, so an invented secret with\n' +
    'the id of a real one revokes nothing. --leaked-file does that for each line of a file; other text in the line does\n' +
    'not matter. No output repeats a secret.',
  positionals: [
    { name: 'CLIENT', description: 'the client id', optional: true },
    { name: 'SECRET_ID', description: 'the id that "clients secrets list" shows', optional: true },
  ],
  options: {
    leaked: { type: 'boolean', description: 'revoke the secret that standard input has' },
    'leaked-file': {
      type: 'string',
      value: 'FILE',
      description: `revoke every secret in a file, at most ${limits.leakedSecretsMax}; "-" is standard input`,
    },
    'dry-run': {
      type: 'boolean',
      description: 'with --leaked or --leaked-file: say what would be revoked, and change nothing',
    },
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark clients secrets revoke billing k3v9x2ab', 'the one whose hint is mm_k3v9x2ab…'],
    ['bin/mintmark clients secrets revoke --leaked < leaked.txt', 'whose it is, is found out'],
    ['bin/mintmark clients secrets revoke --leaked-file leaked.txt --dry-run', 'what a file would revoke'],
  ],
  async run(options, [clientId, secretId]) {
    const { leaked, 'leaked-file': file, 'dry-run': isDryRun, json: asJson } = options
    if (leaked && file !== undefined) throw usageError('--leaked: not with --leaked-file.')
    if (leaked || file !== undefined) {
      if (clientId !== undefined)
        throw usageError('--leaked and --leaked-file need no CLIENT: the secret says whose it is.')
      return leaked ? await revokeOne(isDryRun, asJson) : await revokeAll(file ?? '', isDryRun, asJson)
    }
    if (clientId === undefined || secretId === undefined) {
      throw usageError(
        'say which secret: CLIENT and SECRET_ID, or --leaked with the secret on standard input.',
      )
    }
    if (isDryRun) throw usageError('--dry-run: only with --leaked or --leaked-file.')
    await revokeNamed(clientId, secretIdFrom(secretId), asJson)
    return exitCodes.ok
  },
})

async function revokeNamed(clientId: string, secretId: string, asJson: boolean): Promise<void> {
  await withDatabase(async (connection) => {
    const { revoked, validLeft } = await revokeSecret(connection, clientId, secretId)
    if (asJson) {
      const fields = { client_id: clientId, secret_id: secretId, status: 'revoked', changed: revoked }
      print(`${jsonLine({ ...fields, valid_secrets: validLeft })}\n`)
    } else print(`${secretId} ${revoked ? 'is' : 'was already'} revoked.\n`)
    if (validLeft === 0) {
      note(
        `${clientId} has no valid secret left and gets no tokens: bin/mintmark clients secrets add ${clientId}`,
      )
    }
  })
}

/** The id is given by itself, in the hint, or, if a secret leaked, in that secret. */
function secretIdFrom(text: string): string {
  return /^mm_([0-9A-Za-z]{8})…?$/.exec(text)?.[1] ?? secretIdOf(text) ?? text
}

const outcomeSentences: Readonly<Record<LeakOutcome, string>> = {
  revoked: 'is revoked',
  to_revoke: 'would be revoked',
  already_revoked: 'was already revoked',
  unknown: 'is not known here: it belongs to another environment, or somebody invented it',
  not_the_secret:
    'has the id of a real secret, but is not that secret. It was invented, so nothing was revoked',
  malformed: 'not a complete secret of this service',
}

function sentenceOf({ outcome, secretId, clientId, clientStatus }: LeakFinding): string {
  const sentence = outcomeSentences[outcome]
  if (outcome !== 'malformed') {
    const owner = clientId === undefined ? '' : ` of ${clientId}`
    return `mm_${secretId}…${owner} ${sentence}${clientStatus === 'deleted' ? '; the client is deleted' : ''}`
  }
  if (clientId === undefined) return sentence
  return `${sentence}, but the beginning of ${secretId} of ${clientId}; if that leaked: bin/mintmark clients secrets revoke ${clientId} ${secretId}`
}

const isFound = ({ outcome }: LeakFinding): boolean =>
  outcome === 'revoked' || outcome === 'to_revoke' || outcome === 'already_revoked'

/** @returns the exit code: a secret that is not known here could not be revoked. */
async function revokeOne(isDryRun: boolean, asJson: boolean): Promise<number> {
  const text = await readInput('Paste the leaked secret, and press Enter.', limits.bodyBytesMax)
  const leaked = readLeaked(text)
  const [first] = leaked
  if (first === undefined) throw usageError('--leaked: standard input is empty. It must have the secret.')
  if (leaked.length > 1)
    throw usageError('--leaked: standard input has several lines or secrets. Use --leaked-file -')
  return await withDatabase(async (connection) => {
    const [finding] = await revokeLeaked(connection, leaked, isDryRun)
    if (finding === undefined) return exitCodes.failed
    const { secretId } = finding
    const callers =
      isFound(finding) && secretId !== undefined
        ? await readSecretCallers(connection.database.prisma, [secretId])
        : []
    if (asJson) print(`${json({ ...findingFields(finding), used_by: callers.map(callerFields) })}\n`)
    else print(`${capital(sentenceOf(finding))}.\n${shownCallers(callers)}`)
    return isFound(finding) ? exitCodes.ok : exitCodes.notFound
  })
}

function shownCallers(callers: readonly SecretCaller[]): string {
  if (callers.length === 0) return ''
  return `\nWho used it, as far as is known (the ledger has every token):\n\n${callerTable(callers)}`
}

const capital = (text: string): string => (text.startsWith('no ') ? `N${text.slice(1)}` : text)

async function revokeAll(path: string, isDryRun: boolean, asJson: boolean): Promise<number> {
  const text = path === standardInput ? await readInput('Paste leaked secrets.', most) : readFile(path)
  const leaked = readLeaked(text)
  if (leaked.length === 0) throw usageError('--leaked-file: there is no line with a secret.')
  await withDatabase(async (connection) => {
    const findings = await revokeLeaked(connection, leaked, isDryRun)
    const count = (outcome: LeakOutcome) => findings.filter((each) => each.outcome === outcome).length
    if (asJson) print(`${json({ dry_run: isDryRun, lines: findings.map(findingFields) })}\n`)
    else {
      const table = new Table([{ title: 'LINE', alignRight: true }, { title: 'FOUND' }])
      print(table.render(findings.map((each) => [String(each.line), sentenceOf(each)])))
    }
    const done = isDryRun
      ? `${counted(count('to_revoke'), 'secret')} would be revoked`
      : `${counted(count('revoked'), 'secret')} revoked`
    const others = findings.filter((each) => !isFound(each)).length
    note(`${done}, ${count('already_revoked')} revoked before, ${others} not known here.`)
  })
  return exitCodes.ok
}

const most = limits.leakedFileBytesMax

function readFile(path: string): string {
  try {
    return readBounded(path, most).toString('utf8')
  } catch (error) {
    throw unreadable(path, error, most)
  }
}

function findingFields({ line, outcome, secretId, clientId, clientStatus }: LeakFinding) {
  return {
    line,
    outcome,
    secret_id: secretId ?? null,
    client_id: clientId ?? null,
    client_status: clientStatus ?? null,
  }
}
