/** A .env that would be passed over in part or as a whole is refused, with its line. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { environmentFileProblem } from '../../bin/environment-file.js'

const directory = mkdtempSync(join(tmpdir(), 'mintmark-'))
afterAll(() => rmSync(directory, { recursive: true }))

function problemOf(content: string, encoding: BufferEncoding = 'utf8'): string | undefined {
  const path = join(directory, '.env')
  writeFileSync(path, content, encoding)
  return environmentFileProblem(path)
}

test.each([
  [
    'the example',
    '# a comment\n\nPORT=8081\nexport HOST = ::1\nMINTMARK_TLS_PRIVATE_KEY="-----BEGIN\nAAAA\n"\n',
  ],
  ['several lines in quotes', 'A="no equals\nhere"\nexport B=\'one\ntwo\' # a comment\n C = `x\ny`\n'],
  ['a comment after a value', 'MINTMARK_LOG_LEVEL=info # not DATABASE_URL=x\n'],
  ['line ends of Windows', 'PORT=8081\r\nHOST=::1\r\n'],
  ['nothing', ''],
])('%s is fine', (_title, content) => {
  expect(problemOf(content)).toBeUndefined()
})

test.each([
  ['a byte order mark', '\ufeffDATABASE_URL=x\n', 'utf8', 'begins with a byte order mark'],
  ['UTF-16', '\ufeffPORT=8081\n', 'utf16le', 'is not UTF-8 text'],
  ['Latin-1', '# für\nPORT=8081\n', 'latin1', 'is not UTF-8 text'],
  ['YAML', '# a\nPORT: 8081\n', 'utf8', '.env:2: has no "="'],
  ['a space', 'MINTMARK_DATA_DIR data\n', 'utf8', '.env:1: has no "="'],
  ['a name alone', 'PORT=1\nexport DATABASE_URL\r\n', 'utf8', '.env:2: has no "="'],
  ['a shell of Windows', 'set DATABASE_URL=x\n', 'utf8', '.env:1: what is before the "="'],
  ['PowerShell', 'PORT=1\n$env:DATABASE_URL="x"\n', 'utf8', '.env:2: what is before the "="'],
  ['csh', 'PORT=1\nsetenv DATABASE_URL x\n', 'utf8', '.env:2: has no "="'],
  ['dashes', 'MINTMARK-LOG-LEVEL=info\n', 'utf8', '.env:1: what is before the "="'],
  ['a list', '- MINTMARK_LOG_LEVEL=info\n', 'utf8', '.env:1: what is before the "="'],
  ['JSON', '{"DATABASE_URL":"x"}\n', 'utf8', '.env:1: has no "="'],
  ['a section', '[mintmark]\nPORT=1\n', 'utf8', '.env:1: has no "="'],
  [
    'two on one line',
    'export HOST=::1 MINTMARK_LOG_LEVEL=info\n',
    'utf8',
    '.env:1: the value of HOST goes on with MINTMARK_LOG_LEVEL=',
  ],
  [
    'a quote that is closed too late',
    'HOST="::1\nMINTMARK_LOG_LEVEL=info\nMINTMARK_ISSUER="https://x"\n',
    'utf8',
    '.env:1: the value of HOST goes on with MINTMARK_LOG_LEVEL=',
  ],
] as const)('%s is refused', (_title, content, encoding, says) => {
  expect(problemOf(content, encoding)).toContain(says)
})

test('no part of a line that may be a URL is repeated', () => {
  expect(problemOf('postgresql://a:hunter2@b/c?d=e\n')).toMatch(/\.env:1: what/)
  expect(problemOf('postgresql://a:hunter2@b/c?d=e\n')).not.toContain('hunter2')
})

test('a directory is refused', () => {
  expect(environmentFileProblem(directory)).toBe(`${directory}: cannot read it: it is a directory.`)
})
