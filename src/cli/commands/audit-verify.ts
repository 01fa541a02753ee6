import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { OperatorError } from '../../errors.ts'
import { LedgerVerifier, type Verified, type VerifyCode, type VerifyProblem } from '../../ledger/verify.ts'
import { fileProblem } from '../../lib/bounded-file.ts'
import { boundedLines } from '../../lib/bounded-lines.ts'
import { parseUniqueJson } from '../../lib/strict-json.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { counted, json, print } from '../terminal/output.ts'
import { terminal } from '../terminal/terminal.ts'

export const auditVerify = defineCommand({
  path: ['audit', 'verify'],
  summary: 'verify a copy of the ledger; needs no database',
  details:
    'FILE is what "audit export" wrote, or what "audit list --json" printed, with or without --follow. The command\n' +
    'computes every hash again. It finds records that were edited, removed, moved or put in between, and an export that\n' +
    'was cut off. A list does not say how many chains there are, so a whole chain that is missing in it is not found. A\n' +
    'copy whose hashes were all computed again is only found with the heads that "audit export" printed.',
  positionals: [{ name: 'FILE', description: 'the file; - reads standard input' }],
  options: {
    partial: {
      type: 'boolean',
      description: 'records are missing on purpose: the list was filtered or limited',
    },
    heads: {
      type: 'string',
      value: 'HASH',
      description: 'the heads of all chains, as "audit export" printed them',
    },
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark audit verify ledger.jsonl', 'an export'],
    [
      'bin/mintmark audit list --client billing --json | bin/mintmark audit verify --partial -',
      'a part of it',
    ],
  ],
  async run(options, [file = '']) {
    const { heads } = options
    if (heads !== undefined && !/^[0-9a-f]{64}$/.test(heads))
      throw usageError('--heads: must be a hash of 64 hex digits, as "audit export" prints it.')
    const verifier = new LedgerVerifier({ isPartial: options.partial, heads })
    const stream = file === '-' ? terminal().stdin : createReadStream(file)
    try {
      await readValues(stream, (value) => verifier.take(value))
    } catch (error) {
      throw new OperatorError(`${file}: cannot read it: ${fileProblem(error)}.`, { cause: error })
    }
    const verified = verifier.finish()
    if (options.json) print(`${json(verifiedFields(verified))}\n`)
    else print(shownProblems(verified.problems))
    const { chains, records, problems } = verified
    if (records + chains === 0) throw new OperatorError(`${file}: has no records.`)
    if (problems.length > 0) {
      throw new OperatorError(
        `${file}: ${counted(problems.length, 'problem')}. It is not a true copy of the ledger.`,
      )
    }
    if (options.json) return
    const shown = verified.heads === undefined ? '' : ` The heads of all chains: ${verified.heads}`
    print(`Verified: ${counted(records, 'record')} in ${counted(chains, 'chain')}.${shown}\n`)
  },
})

/** Lines of JSON, or one array over many lines. A line that is not JSON becomes undefined. */
async function readValues(stream: Readable, take: (value: unknown) => void): Promise<void> {
  const array: string[] = []
  let isFirst = true
  for await (const line of boundedLines(stream)) {
    if (line.trim() === '') continue
    if (array.length > 0 || (isFirst && line.startsWith('['))) array.push(line)
    else take(parsed(line))
    isFirst = false
  }
  if (array.length === 0) return
  const values = parsed(array.join('\n'))
  if (Array.isArray(values)) for (const value of values) take(value)
  else take(undefined)
}

function parsed(text: string): unknown {
  try {
    // A reader that takes the first one of two members with one name would read what no hash is over.
    return parseUniqueJson(text)
  } catch {
    return undefined
  }
}

const sentences: { readonly [Code in VerifyCode]: string } = {
  line_unreadable: 'is neither a record with its hashes nor another line of an export',
  record_altered: 'was changed: its hash is not over what it says',
  link_broken: 'is not linked to the record before it',
  record_twice: 'is there twice',
  out_of_order: 'is not where it belongs',
  records_missing: 'comes after records that are missing',
  chain_end_differs: 'does not end where the export says: records are missing, or there are too many',
  export_end_differs: 'the export is not complete: its end is missing or says something else',
  heads_differ: 'the heads of all chains are not those of --heads',
}

const problemsShownMax = 50

function shownProblems(problems: readonly VerifyProblem[]): string {
  const lines = problems.slice(0, problemsShownMax).map(({ code, line, chain, seq }) => {
    const what = chain === undefined ? '' : ` chain ${chain}${seq === undefined ? '' : `, record ${seq}`}`
    return `line ${line}:${what} ${sentences[code]}\n`
  })
  const more = problems.length - lines.length
  return `${lines.join('')}${more > 0 ? `and ${more} more; --json lists all\n` : ''}`
}

function verifiedFields({ chains, records, heads, problems }: Verified): Record<string, unknown> {
  return {
    verified: problems.length === 0 && records + chains > 0,
    chains,
    records,
    heads: heads ?? null,
    problems,
  }
}
