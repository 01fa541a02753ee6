import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { Readable, Writable } from 'node:stream'
import { describe, expect, vi } from 'vitest'
import { main } from '../../src/cli/main.ts'
import { SecretOutput } from '../../src/cli/terminal/secret-output.ts'
import { ReservedFile } from '../../src/lib/private-file.ts'
import { test } from '../support/fixtures.ts'

describe('a new secret', () => {
  test('is not printed where a log would keep it, and nothing is changed', () => {
    expect(() => new SecretOutput('secret-out', undefined, 'kept').reserve()).toThrow(
      /^--secret-out: must be set here: .* log of a container/,
    )
  })

  test('is not printed where nobody sees it, and nothing is changed', () => {
    expect(() => new SecretOutput('secret-out', undefined, 'lost').reserve()).toThrow(
      /^--secret-out: must be set here: standard output is closed, .* Nothing was changed\.$/,
    )
    new SecretOutput('secret-out', '-', 'lost').reserve()
  })

  test('is printed there if somebody asks for that', () => {
    const output = new SecretOutput('secret-out', '-', 'kept')
    output.reserve()
    expect(output.path).toBeUndefined()
  })

  test('is printed where a person or a script reads it', () => {
    new SecretOutput('secret-out', undefined, 'read').reserve()
  })

  test('is in a file of its owner, if one is named', async ({ files }) => {
    const path = files.path('secret')
    const output = new SecretOutput('secret-out', path, 'kept')
    output.reserve()
    await output.around(async () => output.deliver('x\n'))
    expect(readFileSync(path, 'utf8')).toBe('x\n')
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })
})

describe('a file that takes nothing', () => {
  test('is said in words before anything is changed', async ({ files }) => {
    const reserve = (path: string) => new SecretOutput('secret-out', path).reserve()
    writeFileSync(files.path('old'), '')
    expect(() => reserve(files.path('none/x'))).toThrow(
      /none\/x cannot be created: its directory does not exist/,
    )
    expect(() => reserve(files.path('old/x'))).toThrow(/a part of its path is a file/)
    expect(() => reserve(files.path('old'))).toThrow(/old exists already and is not overwritten/)
  })

  test('takes the change back while it is written', async ({ database, files, run }) => {
    const full = vi.spyOn(ReservedFile.prototype, 'write').mockImplementation(() => {
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    })
    const path = files.path('secret')
    const { code, stderr } = await run('clients', 'create', 'lost', '--secret-out', path)
    full.mockRestore()
    expect(code).toBe(1)
    expect(stderr).toBe(
      `mintmark: --secret-out: ${path} cannot be written: the disk is full. Nothing was changed.\n`,
    )
    expect(existsSync(path)).toBe(false)
    expect(await database.query('SELECT 1 FROM client')).toEqual([])
  })
})

test.for([
  [undefined, 'the new secrets are valid, and nobody has seen them: replace them with'],
  ['secret', 'the secrets in .*secret are valid'],
] as const)('a commit of which nobody knows is said to be one: %s', async ([name, said], { files }) => {
  const output = new SecretOutput('secret-out', name && files.path(name), 'read')
  output.reserve()
  const change = output.around(async () => {
    output.deliver('x\n')
    throw new Error('Connection terminated unexpectedly')
  })
  await expect(change).rejects.toThrow(
    new RegExp(`may be committed or not\\. .* If it is committed, ${said}`),
  )
  if (name !== undefined) expect(existsSync(files.path(name))).toBe(true)
})

describe('an output that takes nothing', () => {
  test('is said in words, and the exit code is not 0', async ({ database }) => {
    const list = await withoutOutput('ENOSPC', database.url, 'resources', 'list', '--json')
    expect(list.code).toBe(1)
    expect(list.stderr).toMatch(/^mintmark: cannot write the output: the disk is full\. /)
    expect(await withoutOutput('EPIPE', database.url, 'resources', 'list', '--json')).toEqual({
      code: 0,
      stderr: '',
    })
  })

  test.for([
    ['ENOSPC', 'the disk is full'],
    ['EPIPE', 'its reader has gone away'],
  ] as const)('loses a secret, and says so: %s', async ([code, why], { database, files }) => {
    const id = `lost-${code}`
    const file = files.path('clients.json')
    writeFileSync(file, JSON.stringify({ clients: [{ client_id: `${id}-too` }] }))
    for (const words of [
      ['clients', 'create', id],
      ['clients', 'secrets', 'rotate', id, '--json'],
      ['clients', 'secrets', 'add', id],
      ['seed', file],
    ]) {
      const outcome = await withoutOutput(code, database.url, ...words)
      expect(outcome.code, words.join(' ')).toBe(1)
      expect(outcome.stderr).toContain(`Cannot write the output: ${why}. The new secrets are valid`)
    }
  })
})

/** Runs a command whose standard output fails. */
async function withoutOutput(code: 'ENOSPC' | 'EPIPE', url: string, ...words: readonly string[]) {
  let stderr = ''
  const stdout = new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error('write'), { code })),
  })
  stdout.on('error', () => {})
  const exitCode = await main(words, {
    environment: { DATABASE_URL: url },
    stdin: Readable.from([]),
    stdout,
    stderr: new Writable({
      write(chunk, _encoding, done) {
        stderr += String(chunk)
        done()
      },
    }),
    onSignal: () => () => {},
  })
  return { code: exitCode, stderr }
}
