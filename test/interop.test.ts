/**
 * The code in the guides is the code that test/interop/run.ts runs against the real libraries, and every program has its
 * file and its version. Running them needs the registries, so it is no part of these tests.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { snippetOf, withSnippets, withTable } from './interop/guides.ts'
import {
  bound,
  callers,
  certified,
  type Program,
  signers,
  verifiers,
  versionsOf,
} from './interop/programs.ts'

const programs: readonly Program[] = [...callers, ...signers, ...certified, ...bound, ...verifiers]
const guide = (name: string): string => readFileSync(join('docs/guides', name), 'utf8')

test.each(['callers.md', 'assertions.md', 'mtls.md', 'dpop.md', 'relying-services.md', 'agents.md'])(
  'the code in %s is the code that was run',
  (name) => {
    expect(guide(name)).toContain('<!-- snippet: ')
    expect(withSnippets(guide(name))).toBe(guide(name))
  },
)

test.each(programs.map((program) => [program.name, program] as const))(
  '%s has its code',
  (_name, program) => {
    expect(existsSync(join('test/interop', program.file))).toBe(true)
    expect(snippetOf(program.file).trim()).not.toBe('')
  },
)

test.each(programs.filter(({ packages }) => packages.length > 0).map((each) => [each.name, each] as const))(
  '%s is pinned to a version',
  (_name, program) => {
    expect(versionsOf(program)).toMatch(/^\d+\.\d+/)
  },
)

test('the tables are in the guides, and name what was run', () => {
  for (const [name, table] of [
    ['callers.md', 'callers'],
    ['assertions.md', 'signers'],
    ['mtls.md', 'certified'],
    ['relying-services.md', 'verifiers'],
  ] as const) {
    expect(withTable(guide(name), table, 'x')).not.toBe(guide(name))
    expect(guide(name)).toMatch(/^\| node \| .* \| yes \|/m)
  }
})
