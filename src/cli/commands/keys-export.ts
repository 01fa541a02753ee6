import { readFileSync, statSync } from 'node:fs'
import { OperatorError } from '../../errors.ts'
import { type ExportedKeys, exportedKeys } from '../../keys/exported.ts'
import { isSigningAlgorithm, signingAlgorithms } from '../../keys/signing-algorithm.ts'
import { fileProblem } from '../../lib/bounded-file.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { replacePrivateFile } from '../../lib/private-file.ts'
import { didYouMean } from '../../lib/suggest.ts'
import { algorithmsInUse } from '../../registry/store.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { keysToShow } from '../terminal/key-context.ts'
import { problemLines, unverifiedLine } from '../terminal/key-problems.ts'
import { counted, json, note, print, shownMoment } from '../terminal/output.ts'

/** Everybody may read public keys. */
const fileMode = 0o644

export const keysExport = defineCommand({
  path: ['keys', 'export'],
  summary: 'write the public keys to a file, for somebody who does not fetch them',
  details:
    'The same JWK Set as /.well-known/jwks.json, with the keys that will sign next. stderr says how long the file is good:\n' +
    'until then no other key signs, unless somebody rotates or revokes one. After "keys revoke" everybody who has a file\n' +
    'needs a new one at once, because nothing else tells them. The rows are verified, so the key-encryption key is needed.',
  options: {
    jwks: { type: 'boolean', description: 'as a JWK Set (RFC 7517), which is the only form' },
    out: { type: 'string', value: 'FILE', description: 'write to this file; a JWK Set in it is replaced' },
    algorithm: {
      type: 'string',
      value: 'ALGORITHM',
      multiple: true,
      description: `only keys of this algorithm: ${signingAlgorithms.join(', ')}`,
    },
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark keys export --jwks --out jwks.json', 'all keys that are published now'],
    [
      'bin/mintmark keys export --jwks --algorithm RS256 --out jwks.json --json',
      'for a cloud that takes RSA keys, and says in JSON until when the file is good',
    ],
  ],
  async run(options) {
    const { jwks, out, algorithm: wanted } = options
    if (!jwks) throw usageError('write --jwks: a JWK Set is the only form.')
    if (options.json && out === undefined) throw usageError('--json: only with --out; stdout has the keys.')
    const unknown = wanted.find((name) => !isSigningAlgorithm(name))
    if (unknown !== undefined)
      throw usageError(
        `--algorithm: must be one of ${signingAlgorithms.join(', ')}.${didYouMean(unknown, signingAlgorithms)}`,
      )
    await withDatabase(async (connection) => {
      const { config, database, clock } = connection
      const known = await keysToShow(connection)
      const unverified = unverifiedLine(known)
      if (unverified !== undefined) {
        throw new OperatorError(
          `the keys cannot be verified, so none is exported. ${unverified.split('. ')[0]}. Run this where the service ` +
            'has its key-encryption key, or fetch /.well-known/jwks.json from the service.',
        )
      }
      for (const line of problemLines(known.problems)) note(line)
      const keys = known.keys.filter(({ algorithm }) => wanted.length === 0 || wanted.includes(algorithm))
      const used = new Set([...config.signingAlgorithms, ...(await algorithmsInUse(database.statements))])
      const exported = exportedKeys(keys, used, config.schedule, clock.nowSeconds())
      if (exported.keys.length === 0)
        throw new OperatorError(
          'there is no such key: nothing is published. "bin/mintmark keys list" shows all keys.',
        )
      if (out === undefined) print(`${exported.text}\n`)
      else writeSet(out, `${exported.text}\n`)
      if (options.json) print(`${json(fieldsOf(exported, out))}\n`)
      note(sentenceOf(exported, out))
    })
  },
})

/** A file that holds something else stays: a private key, for instance, is not replaced by public ones. */
function writeSet(path: string, text: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory())
    throw new OperatorError(`--out: ${path} is a directory. Name a file in it.`)
  if (!isReplaceable(path))
    throw new OperatorError(
      `--out: ${path} exists and is not a JWK Set of public keys. Name another file, or remove this one.`,
    )
  try {
    replacePrivateFile(path, text, fileMode)
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    const problem = isMissing ? 'its directory does not exist; create it first' : fileProblem(error)
    throw new OperatorError(`--out: ${path} cannot be written: ${problem}.`)
  }
}

function isReplaceable(path: string): boolean {
  try {
    const set = JSON.parse(readFileSync(path, 'utf8')) as { readonly keys?: unknown } | null
    return Array.isArray(set?.keys) && set.keys.every(isPublic)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

/** A client may keep its private keys in such a set (RFC 7518 §6). */
function isPublic(key: unknown): boolean {
  return typeof key === 'object' && key !== null && !('d' in key) && !('k' in key)
}

function fieldsOf({ keys, goodUntil, nextKeyAt }: ExportedKeys, file: string | undefined): unknown {
  return {
    file: file ?? null,
    good_until: optionalMoment(goodUntil),
    next_key_at: optionalMoment(nextKeyAt),
    keys: keys.map(({ kid, algorithm, state, signsFrom }) => ({
      kid,
      algorithm,
      state,
      signs_from: optionalMoment(signsFrom),
    })),
  }
}

function sentenceOf({ keys, goodUntil, nextKeyAt }: ExportedKeys, file: string | undefined): string {
  const told = keys.flatMap(({ kid, algorithm, state, signsFrom }) => {
    if (state === 'signing') return [`${kid} (${algorithm}) signs now`]
    return state === 'published' ? [`${kid} (${algorithm}) signs from ${shownMoment(signsFrom)}`] : []
  })
  const until =
    goodUntil === undefined
      ? 'No key comes after these.'
      : `Good until ${shownMoment(goodUntil)}, unless somebody rotates or revokes a key. ` +
        `The next key is published at ${shownMoment(nextKeyAt)}: export again after that.`
  return `${counted(keys.length, 'key')}${file === undefined ? '' : ` in ${file}`}: ${[...told, ''].join('. ')}${until}`
}
