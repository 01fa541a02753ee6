/** What npm packs can be installed in an empty folder and used, with its types, on every Node that it names. */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { publint } from 'publint'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { json, startServer } from './support.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../../..')
const its = join(import.meta.dirname, '..')

/** Empty, but for what was packed and is installed there. */
const folder = mkdtempSync(join(tmpdir(), 'mintmark-client-'))
let tarball = ''

beforeAll(async () => {
  // What builds the package is a script, and .npmrc switches scripts off.
  const words = ['pack', '--json', '--ignore-scripts=false', '--foreground-scripts=false']
  const { stdout } = await run('npm', [...words, '--pack-destination', folder], { cwd: its })
  tarball = join(folder, JSON.parse(stdout)[0].filename)
  writeFileSync(join(folder, 'package.json'), '{"type":"module","private":true}')
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball], { cwd: folder })
})
afterAll(() => rmSync(folder, { recursive: true }))

/** The Nodes that are at hand: that of the tests, the one on the PATH, and those that NODE_20, NODE_22 and NODE_24 name. */
const nodes = [
  process.execPath,
  'node',
  ...['20', '22', '24'].map((version) => process.env[`NODE_${version}`] ?? ''),
].filter((path) => path !== '')

const program = `
import { createTokenSource, TokenError, signRequest } from '@mintmark/client'
const issuer = process.argv[2]
const tokens = createTokenSource({ issuer, clientId: 'a', clientSecret: 'b', dpop: true })
const fetchOrders = tokens.fetchFor(issuer, ['orders:read'], { sign: true })
const response = await fetchOrders(issuer + '/orders', { method: 'POST', body: 'text' })
console.log(response.status, await tokens.token(issuer, 'orders:read'), typeof TokenError, typeof signRequest)
`

test('is used from ESM', async () => {
  writeFileSync(join(folder, 'program.js'), program)
  for (const node of nodes) {
    const server = await startServer(
      json({ access_token: 'token', token_type: 'DPoP', expires_in: 100 }),
      json({ fine: true }),
    )
    const { stdout, stderr } = await run(node, ['program.js', server.url], { cwd: folder })
    expect({ node, stdout, stderr }).toEqual({ node, stdout: '200 token function function\n', stderr: '' })
    expect(server.requests.map(({ path }) => path)).toEqual(['/token', '/orders'])
  }
})

test('has types that a program in TypeScript sees', async () => {
  const source = [
    `import { createTokenSource, type Grant } from '@mintmark/client'`,
    `const tokens = createTokenSource({ issuer: 'https://a.example', clientId: 'a', clientSecret: 'b' })`,
    `export const grant: Promise<Grant> = tokens.grant('https://b.example', ['c'])`,
    `export const wrong: number = grant`,
  ]
  writeFileSync(join(folder, 'program.ts'), source.join('\n'))
  const options = { include: ['program.ts'], compilerOptions: strict }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(options))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const said = await run(process.execPath, [tsc, '--project', folder]).then(
    () => '',
    ({ stdout }) => stdout as string,
  )
  expect(said.trim().split('\n')).toEqual([
    expect.stringMatching(/program\.ts\(4,14\): error TS2322: Type 'Promise<Grant>' is not assignable/),
  ])
})

const strict = {
  strict: true,
  noEmit: true,
  module: 'nodenext',
  target: 'es2023',
  types: ['node'],
  typeRoots: [join(root, 'node_modules/@types')],
  skipLibCheck: false,
}

test('publint and are-the-types-wrong have nothing to say', async () => {
  const { messages } = await publint({ pkgDir: its, strict: true })
  expect(messages).toEqual([])
  const result = await checkPackage(createPackageFromTarballData(readFileSync(tarball)))
  const problems = result.types === false ? ['no types'] : result.problems.map(({ kind }) => kind)
  // It is for ESM, and for resolution as Node does it.
  const meant = ['CJSResolvesToESM', 'NoResolution']
  expect(problems.filter((kind) => !meant.includes(kind))).toEqual([])
})

test('nothing is packed that nobody needs, and nothing is missing', async () => {
  const packed = join(folder, 'node_modules/@mintmark/client')
  const manifest = JSON.parse(readFileSync(join(packed, 'package.json'), 'utf8'))
  expect(manifest.dependencies).toBeUndefined()
  // Where it is published there is nothing beside the page that a link could lead to.
  expect(readFileSync(join(packed, 'README.md'), 'utf8')).not.toContain('](..')
  for (const name of [
    'README.md',
    'CHANGELOG.md',
    'LICENSE',
    'dist/index.js',
    'dist/index.d.ts',
    'src/index.ts',
  ])
    expect(existsSync(join(packed, name)), name).toBe(true)
  for (const name of ['test', 'tsconfig.json']) expect(existsSync(join(packed, name)), name).toBe(false)
})
