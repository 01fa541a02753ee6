/**
 * Makes the vectors of this folder: `node test/vectors/make.ts`. Every run makes new keys, so it replaces all files. The
 * private keys are dropped at its end.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { authorizationCases } from './make/authorization.ts'
import { codes } from './make/codes.ts'
import { proofCases, proofSettings } from './make/proofs.ts'
import { requestCases, requestSettings } from './make/requests.ts'
import { keySets, tokenCases } from './make/tokens.ts'

const about =
  'Made by make.ts; README.md says what it means. All keys are test keys, made for these vectors alone.'

interface Named {
  readonly name: string
  readonly expected: { readonly result: string; readonly code?: string }
}

/** One case a line would be unreadable, and one value a line too long: so each member of a case has its line. */
function write(file: string, content: Record<string, unknown>): void {
  writeFileSync(join(import.meta.dirname, file), `${JSON.stringify({ about, ...content }, null, 1)}\n`)
}

/** A case is found by its name, so each has one of its own. It begins with what is expected. */
function named<T extends Named>(cases: readonly T[]): readonly T[] {
  const all = cases.map((one) => ({
    ...one,
    name: `${one.expected.code ?? one.expected.result}: ${one.name}`,
  }))
  for (const [index, { name, expected }] of all.entries()) {
    if (all.findIndex((other) => other.name === name) !== index) throw new Error(`Two cases are "${name}".`)
    if (expected.code !== undefined && !(expected.code in codes))
      throw new Error(`No code "${expected.code}".`)
  }
  return all
}

write('codes.json', { codes })
write('tokens.json', { keySets, cases: named(tokenCases) })
write('dpop.json', { ...proofSettings, cases: named(proofCases) })
write('signed-requests.json', { ...requestSettings, cases: named(requestCases) })
write('authorization.json', { cases: named(authorizationCases) })
