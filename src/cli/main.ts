// First, before anything else is loaded: it closes a door.
import '../process/inspector.ts'
import { exitCodes } from '../errors.ts'
import { didYouMean } from '../lib/suggest.ts'
import { explain } from '../process/explain.ts'
import { watchOutput } from '../process/standard-output.ts'
import { release } from '../release.ts'
import { auditList } from './commands/audit.ts'
import { auditCompare } from './commands/audit-compare.ts'
import { auditExport } from './commands/audit-export.ts'
import { auditVerify } from './commands/audit-verify.ts'
import { caInit } from './commands/ca-init.ts'
import { caIssue } from './commands/ca-issue.ts'
import { caRenew } from './commands/ca-renew.ts'
import { caRevoke } from './commands/ca-revoke.ts'
import { caShow } from './commands/ca-show.ts'
import { clientsDelete, clientsDisable, clientsEnable, clientsShow } from './commands/clients.ts'
import { clientsAccessGrant, clientsAccessRemove } from './commands/clients-access.ts'
import { clientsCreate } from './commands/clients-create.ts'
import { clientsKeysAdd, clientsKeysList, clientsKeysRevoke } from './commands/clients-keys.ts'
import { clientsList } from './commands/clients-list.ts'
import { clientsUpdate } from './commands/clients-update.ts'
import { keysAbandon } from './commands/keys-abandon.ts'
import { keysExport } from './commands/keys-export.ts'
import { keysList } from './commands/keys-list.ts'
import { keysRevoke } from './commands/keys-revoke.ts'
import { keysRewrap } from './commands/keys-rewrap.ts'
import { keysRotate } from './commands/keys-rotate.ts'
import { migrate } from './commands/migrate.ts'
import { proxyCheck } from './commands/proxy-check.ts'
import { registrySeal } from './commands/registry-seal.ts'
import { resourcesList } from './commands/resources.ts'
import { resourcesCreate, resourcesDelete, resourcesUpdate } from './commands/resources-change.ts'
import { secretsAdd, secretsList } from './commands/secrets.ts'
import { secretsRevoke } from './commands/secrets-revoke.ts'
import { secretsRotate } from './commands/secrets-rotate.ts'
import { seed } from './commands/seed.ts'
import { serve } from './commands/serve.ts'
import { start } from './commands/start.ts'
import { token } from './commands/token.ts'
import { trustDisable, trustEnable, trustList, trustRemove } from './commands/trust.ts'
import { trustAdd } from './commands/trust-add.ts'
import { trustDocument } from './commands/trust-document.ts'
import { trustTest } from './commands/trust-test.ts'
import { trustBlock, trustUnblock, trustWorkloads } from './commands/trust-workloads.ts'
import { parseArguments } from './terminal/arguments.ts'
import { type Command, usageError } from './terminal/command.ts'
import { Interrupted } from './terminal/connect.ts'
import { type CommandGroup, commandHelp, groupHelp } from './terminal/help.ts'
import { note, OutputClosed, print } from './terminal/output.ts'
import { messageOf } from './terminal/sentences.ts'
import { atTerminal, processTerminal, type Terminal } from './terminal/terminal.ts'

/** Every command, in the order of the help. A command that is not in this list cannot be called. */
export const commands: readonly Command[] = [
  start,
  serve,
  migrate,
  seed,
  clientsList,
  clientsShow,
  clientsCreate,
  clientsUpdate,
  clientsDisable,
  clientsEnable,
  clientsDelete,
  clientsAccessGrant,
  clientsAccessRemove,
  secretsAdd,
  secretsRotate,
  secretsList,
  secretsRevoke,
  clientsKeysAdd,
  clientsKeysList,
  clientsKeysRevoke,
  resourcesList,
  resourcesCreate,
  resourcesUpdate,
  resourcesDelete,
  trustList,
  trustAdd,
  trustTest,
  trustDocument,
  trustRemove,
  trustDisable,
  trustEnable,
  trustWorkloads,
  trustBlock,
  trustUnblock,
  registrySeal,
  keysList,
  keysExport,
  keysRotate,
  keysRevoke,
  keysRewrap,
  keysAbandon,
  auditList,
  auditCompare,
  auditExport,
  auditVerify,
  caInit,
  caIssue,
  caRenew,
  caRevoke,
  caShow,
  proxyCheck,
  token,
]

const groups: readonly CommandGroup[] = [
  { path: ['clients'], summary: 'machines that may ask for tokens, and their secrets' },
  {
    path: ['clients', 'secrets'],
    summary: "clients' secrets: several are valid at once, so that one can be replaced without a gap",
  },
  {
    path: ['clients', 'keys'],
    summary: "clients' public keys, which verify their assertions: several are valid at once",
  },
  { path: ['clients', 'access'], summary: 'which resources a client may call, and with which scopes' },
  { path: ['resources'], summary: 'what tokens are for' },
  { path: ['trust'], summary: 'other issuers whose assertions are accepted, and what their workloads get' },
  { path: ['registry'], summary: 'all of it: clients, secrets, access, resources and trusted issuers' },
  {
    path: ['keys'],
    summary: 'the keys that sign tokens',
    examples: [
      [
        'bin/mintmark keys rotate --plan',
        'when the next key could sign, and who has not fetched it; does nothing',
      ],
      ['bin/mintmark keys rotate --now', 'the next key signs at once; says what that breaks'],
    ],
  },
  { path: ['audit'], summary: 'the ledger: what was issued, refused and changed' },
  { path: ['ca'], summary: 'a CA for development and tests: certificates for TLS, as files' },
  { path: ['proxy'], summary: 'the proxy in front, where it passes on the certificates of its callers' },
]

/**
 * Runs a command at a terminal. Several may run at once in one process.
 * @returns the exit code.
 */
export function main(given: readonly string[], terminal: Terminal): Promise<number> {
  return atTerminal(terminal, () => run(given))
}

async function run(given: readonly string[]): Promise<number> {
  try {
    return await dispatch(given[0] === 'help' ? [...given.slice(1), '--help'] : given)
  } catch (error) {
    if (error instanceof OutputClosed) return exitCodes.ok
    if (error instanceof Interrupted) return error.exitCode
    note(`mintmark: ${messageOf(error)}`)
    return explain(error).exitCode
  }
}

async function dispatch(given: readonly string[]): Promise<number> {
  const words = wordsOf(given)
  const command = commands.find(({ path }) => path.every((word, index) => words[index] === word))
  if (command !== undefined) {
    const { help, options, positionals } = parseArguments(command, given.slice(command.path.length))
    if (!help) return (await command.run(options, positionals)) ?? exitCodes.ok
    print(commandHelp(command))
    return exitCodes.ok
  }
  const [first] = given
  if (first === '--version' || first === '-V') {
    print(`${release}\n`)
    return exitCodes.ok
  }
  const path = knownPrefix(words)
  const next = given[path.length]
  if (next === '--help' || next === '-h') {
    print(groupHelp(path, commands, groups))
    return exitCodes.ok
  }
  const program = ['bin/mintmark', ...path].join(' ')
  if (next === undefined) throw usageError(`say what to do.\n\n${groupHelp(path, commands, groups)}`)
  if (next.startsWith('-'))
    throw usageError(`${next}: options come after the command. "${program} --help" lists commands.`)
  const known = new Set(
    commands.filter((each) => startsWith(each.path, path)).map((each) => each.path[path.length] ?? ''),
  )
  throw usageError(
    `there is no command "${[...path, next].join(' ')}".${didYouMean(next, known)} "${program} --help" lists them.`,
  )
}

function wordsOf(given: readonly string[]): readonly string[] {
  const end = given.findIndex((argument) => argument.startsWith('-'))
  return end === -1 ? given : given.slice(0, end)
}

/** The first words, as far as some command begins with them. */
function knownPrefix(words: readonly string[]): readonly string[] {
  let length = 0
  while (length < words.length && commands.some(({ path }) => startsWith(path, words.slice(0, length + 1))))
    length += 1
  return words.slice(0, length)
}

function startsWith(path: readonly string[], prefix: readonly string[]): boolean {
  return prefix.every((word, index) => path[index] === word)
}

/** A command that a signal ended has the shell's exit code for it: this, and the number of the signal. */
const signalledExitCode = 128

/**
 * Runs a command as this process. After it the process ends by itself, when everything that was printed is out.
 *
 * A command that was interrupted is ended here: its statement may still wait in the database for a lock that
 * somebody else holds, and the connection would keep the process until then.
 */
export async function runCommand(given: readonly string[]): Promise<void> {
  watchOutput()
  process.exitCode = await main(given, processTerminal)
  if (process.exitCode <= signalledExitCode) return
  await Promise.all([flushed(process.stdout), flushed(process.stderr)])
  process.exit()
}

/** Resolves when everything written before is out, or nobody is there to read it. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed) resolve()
    else stream.write('', () => resolve())
  })
}

if (import.meta.main) await runCommand(process.argv.slice(2))
