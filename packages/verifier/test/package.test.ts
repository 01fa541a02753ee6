/** What is published works where it is installed: packed, in an empty folder, on each Node that is at hand. */
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const run = promisify(execFile)
const packageFolder = join(import.meta.dirname, '..')
const root = join(packageFolder, '../..')
const manifest = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8'))

const folder = mkdtempSync(join(tmpdir(), 'mintmark-verifier-'))
const installed = join(folder, 'service')
let tarball: string

/** @returns where the tarball is. */
async function pack(path: string, ...options: string[]): Promise<string> {
  const quiet = ['--json', '--foreground-scripts=false']
  const { stdout } = await run('npm', ['pack', path, '--pack-destination', folder, ...quiet, ...options], {
    cwd: packageFolder,
  })
  const [{ filename }] = JSON.parse(stdout)
  return join(folder, filename)
}

beforeAll(async () => {
  // As `npm run pack` does it: what builds is a script, and .npmrc switches scripts off.
  rmSync(join(packageFolder, 'dist'), { recursive: true, force: true })
  tarball = await pack('.', '--ignore-scripts=false')
  // What it depends on comes from here, so that no network is needed.
  const dependencies = await Promise.all(
    Object.keys(manifest.dependencies).map((name) => pack(join(root, 'node_modules', name))),
  )
  mkdirSync(installed)
  writeFileSync(join(installed, 'package.json'), '{"name":"service","version":"1.0.0","type":"module"}')
  await run('npm', ['install', '--offline', '--ignore-scripts', '--no-audit', tarball, ...dependencies], {
    cwd: installed,
  })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const { PATH = '', MINTMARK_NODES = '' } = process.env
/** The one that runs the tests, those on the path, and what MINTMARK_NODES names. Each version once. */
const nodes = new Map(
  [
    process.execPath,
    ...PATH.split(delimiter).map((directory) => join(directory, 'node')),
    ...MINTMARK_NODES.split(delimiter),
  ]
    .filter((path) => existsSync(path))
    .map((path) => [execFileSync(path, ['--version'], { encoding: 'utf8' }).trim(), path]),
)

/** Runs the tokens of the vectors, with nothing but what is installed. */
const program = `
import { readFileSync } from 'node:fs'
import { createVerifier, VerifyError } from '@mintmark/verifier'

const { keySets, cases } = JSON.parse(readFileSync(process.argv[2], 'utf8'))
for (const one of cases) {
  const { issuer, audience, algorithms, leewaySeconds, now } = one
  const keys = keySets[one.keys]
  const verifier = createVerifier({ issuer, audience, algorithms, leewaySeconds, keys, nowSeconds: () => now })
  const token = typeof one.token === 'string' ? one.token : one.token.map(([text, times]) => text.repeat(times)).join('')
  const context = { scope: one.requiredScope ?? undefined, certificate: one.certificate ?? undefined }
  const code = await verifier.verify(token, context).then(() => 'accepted', (error) => {
    if (error instanceof VerifyError) return error.code
    throw error
  })
  if (code !== (one.expected.code ?? 'accepted')) console.log(one.name, code)
}
console.log(cases.length)
`

describe.each([...nodes])('on Node %s', (_, node) => {
  test('it is imported and agrees with the vectors', async () => {
    writeFileSync(join(installed, 'program.js'), program)
    const vectors = join(root, 'test/vectors/tokens.json')
    const { stdout, stderr } = await run(node, ['program.js', vectors], { cwd: installed })
    expect(stderr).toBe('')
    expect(stdout).toBe(`${JSON.parse(readFileSync(vectors, 'utf8')).cases.length}\n`)
  })
})

test('its types hold in a project that checks libraries too', async () => {
  writeFileSync(
    join(installed, 'service.ts'),
    `import { createVerifier, requireToken, tokenOf, VerifyError, type AccessTokenClaims } from '@mintmark/verifier'
     import { createServer } from 'node:http'
     const verifier = createVerifier({ issuer: 'https://mint.example', audience: 'https://orders.example' })
     const claims: AccessTokenClaims = await verifier.verify('x', { scope: 'orders:read' })
     const caller: string = claims.client_id
     const guard = requireToken(verifier, { scope: 'orders:read' })
     createServer(async (request, response) => {
       if (await guard(request, response)) response.end(tokenOf(request).sub + caller)
     })
     try { await verifier.verify('x') } catch (error) {
       if (error instanceof VerifyError && error.code === 'token_expired') throw error
     }
    `,
  )
  writeFileSync(
    join(installed, 'mistakes.ts'),
    `import { createVerifier, VerifyError } from '@mintmark/verifier'
     createVerifier({ issuer: 'https://mint.example' })
     new VerifyError('no_such_code')
    `,
  )
  const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')]
  const options = [
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2023',
    '--noEmit',
    ...types,
    'service.ts',
  ]
  const tsc = join(root, 'node_modules/.bin/tsc')
  const { stdout } = await run(tsc, [...options, 'service.ts', 'mistakes.ts'], { cwd: installed }).catch(
    (failed) => failed,
  )
  // The audience is missing; there is no such code. Nothing else is wrong.
  expect(stdout.match(/^\S+: error TS\d+/gm)).toEqual([
    expect.stringMatching(/^mistakes\.ts\(2,\d+\): error TS2741$/),
    expect.stringMatching(/^mistakes\.ts\(3,\d+\): error TS2345$/),
  ])
})

test('the tarball has what it should, and no more', async () => {
  const { stdout } = await run('tar', ['-tzf', tarball])
  const files = stdout.trim().split('\n')
  expect(
    files.filter(
      (path) =>
        !/^package\/(?:(?:dist|src)\/[\w-]+\.[\w.]+|package\.json|README\.md|CHANGELOG\.md|LICENSE)$/.test(
          path,
        ),
    ),
  ).toEqual([])
  for (const name of ['README.md', 'CHANGELOG.md', 'LICENSE']) expect(files).toContain(`package/${name}`)
  // Where it is published there is nothing beside the page that a link could lead to.
  expect(readFileSync(join(packageFolder, 'README.md'), 'utf8')).not.toContain('](..')
  expect(files).toContain('package/dist/index.d.ts')
})

test('publint finds nothing wrong', async () => {
  const data = new Uint8Array(readFileSync(tarball)).buffer
  const { messages, pkg } = await publint({ pack: { tarball: data }, strict: true })
  expect(messages.map((message) => formatMessage(message, pkg))).toEqual([])
})

test('the types are not wrong', async () => {
  const analysis = await checkPackage(createPackageFromTarballData(new Uint8Array(readFileSync(tarball))))
  if (analysis.types === false) throw new Error('it has no types')
  // It is for ESM alone, so it has nothing for the resolution of older versions of Node.
  const problems = analysis.problems.filter(
    (problem) =>
      !('resolutionKind' in problem && problem.resolutionKind === 'node10') &&
      problem.kind !== 'CJSResolvesToESM',
  )
  expect(problems).toEqual([])
})
