/** What a document shows as a command can be pasted: it is one, and it is called rightly. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { allCommands } from '../../src/cli/command-list.ts'
import { parseArguments } from '../../src/cli/terminal/arguments.ts'

const root = join(import.meta.dirname, '../..')
const documents = execFileSync('git', ['ls-files', '*.md'], { cwd: root, encoding: 'utf8' })
  .trim()
  .split('\n')
const commands = await allCommands()

/** The lines of a document's shell blocks; a line that ends with a backslash goes on in the next. */
function linesOf(document: string): string[] {
  const text = readFileSync(join(root, document), 'utf8')
  return [...text.matchAll(/^```sh\n(.*?)^```/gms)].flatMap(([, block = '']) =>
    block.replaceAll(/\\\n\s*/g, '').split('\n'),
  )
}

/** Quotation marks hold words together. */
const wordsOf = (call: string): string[] =>
  (call.match(/(?:[^\s'"]|'[^']*'|"[^"]*")+/g) ?? []).map((word) => word.replaceAll(/['"]/g, ''))

const withCalls = documents.filter((document) =>
  linesOf(document).some((line) => line.includes('bin/mintmark ')),
)

test('there are documents with commands', () => {
  expect(withCalls).toContain('docs/guides/assertions.md')
})

test.each(withCalls)('the commands of %s', (document) => {
  for (const line of linesOf(document)) {
    const [shown = '', comment = ''] = line.split(/(?:^|\s)#\s(.*)/)
    // Text that was wrapped like prose has commands in comments, and lines that begin in the middle of one.
    if (shown.trim() !== '') expect(comment, line).not.toContain('bin/mintmark')
    expect(line).not.toMatch(/^[\d…]/)
    for (const [, call = ''] of shown.matchAll(/bin\/mintmark ([^)|;<>&]+)/g)) {
      const words = wordsOf(call)
      // The launcher's own, for contributors.
      if (words[0] === 'test') continue
      const each = commands.find(({ path }) => path.every((word, index) => words[index] === word))
      expect(each, line).toBeDefined()
      if (each !== undefined) parseArguments(each, words.slice(each.path.length))
    }
  }
})
