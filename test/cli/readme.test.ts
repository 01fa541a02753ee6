/**
 * The commands of README.md do what it says. They run in its order, beside a service that the test started, in a
 * directory that looks like a checkout.
 */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { test as base } from '../support/fixtures.ts'
import { root, start, startServiceProcess } from '../support/process.ts'

const readme = readFileSync(`${root}README.md`, 'utf8')

interface Block {
  readonly language: string
  readonly text: string
}

const blocks: Block[] = [...readme.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(
  ([, language = '', text = '']) => ({ language, text }),
)

/** What does not run here, and why. Every other block of shell or JavaScript must run. */
const elsewhere: readonly (readonly [begins: RegExp, why: string])[] = [
  [/^npm (start|ci|install)\b/, 'installs and starts; start.test.ts starts from nothing'],
  [/^MINTMARK_TLS_/, 'serves until it is ended; ca.test.ts starts it'],
  [/^npm run demo\b/, 'needs Python; peers/demo.test.ts runs it'],
  [/^npm (test|run (bench|drill|dev|coverage|check))\b/, 'is no part of using the service'],
  [/^(docker|git)\b/, 'needs what a test machine may not have'],
]

const runs = ({ language, text }: Block): boolean =>
  ['sh', 'js'].includes(language) && !elsewhere.some(([begins]) => begins.test(text))

const jsonOf = (text: string): unknown => JSON.parse(text.replaceAll('…', ''))

/** The important part of what each block prints, by how the block begins. */
const expectations: readonly (readonly [begins: RegExp, check: (stdout: string, next: Block) => void])[] = [
  [
    /^curl -s -u "billing:/,
    (stdout, shown) => {
      const { access_token: token, ...answer } = JSON.parse(stdout)
      expect(token).toMatch(/^ey/)
      expect({ access_token: expect.any(String), ...answer }).toEqual({
        ...(jsonOf(shown.text) as object),
        access_token: expect.any(String),
      })
    },
  ],
  [
    /^bin\/mintmark token billing/,
    (stdout) => {
      expect(stdout).toMatch(/at\+jwt/)
      expect(stdout).toMatch(/issued +billing/)
    },
  ],
  [
    /^bin\/mintmark ca init/,
    (stdout) => expect(stdout).toMatch(/^localhost is issued: a certificate of a server for localhost, 127/m),
  ],
  [/^npm run seed -- clients\.yaml/, (stdout) => expect(stdout).toMatch(/^client +shipping +created/m)],
  [
    /^bin\/mintmark clients create reports/,
    (stdout) => {
      expect(stdout).toMatch(/mm_[0-9A-Za-z]{57}/)
      expect(stdout).toContain('reports is disabled.')
    },
  ],
  [
    /^curl -s -u "shipping:\$SECRET"/,
    (stdout) => expect(JSON.parse(stdout)).toMatchObject({ token_type: 'Bearer', scope: 'orders:read' }),
  ],
  [/^import .* from '@mintmark\/verifier'/, (stdout) => expect(stdout).toBe('shipping\n')],
  [/^import .* from 'jose'/, (stdout) => expect(stdout).toBe('shipping\n')],
]

const test = base
  /** A directory with what a checkout has in the places that the README names. */
  .extend('checkout', ({ files }) => {
    const checkout = files.path('checkout')
    mkdirSync(checkout, { mode: 0o711 })
    for (const name of ['bin', 'node_modules', 'package.json', 'prisma']) {
      symlinkSync(`${root}${name}`, `${checkout}/${name}`)
    }
    return checkout
  })
  .extend('served', async ({ checkout, track }) => {
    const environment = { MINTMARK_DATA_DIR: `${checkout}/data` }
    const service = track(await startServiceProcess(['start'], { environment }))
    await service.until(() => service.output().includes('jwks.json\n'))
    return service
  })

test('every block that should run has its expectation, and every expectation its block', () => {
  const texts = blocks.filter(runs).map(({ text }) => text)
  expect(texts.length).toBeGreaterThan(0)
  expect(texts.map((text) => expectations.findIndex(([begins]) => begins.test(text)))).toEqual(
    expectations.map((_, index) => index),
  )
})

test('they run, in order', async ({ checkout, served, track }) => {
  const [yaml] = blocks.filter(({ language }) => language === 'yaml')
  writeFileSync(`${checkout}/clients.yaml`, yaml?.text ?? '')
  const here = (text: string): string => text.replaceAll('http://127.0.0.1:8080', served.url)
  const environment: Record<string, string> = {
    MINTMARK_DATA_DIR: `${checkout}/data`,
    PORT: new URL(served.url).port,
    HOME: checkout,
  }
  let token = ''
  for (const [index, block] of blocks.entries()) {
    if (!runs(block)) continue
    const [, check] = expectations.find(([begins]) => begins.test(block.text)) ?? []
    const program = `${checkout}/example.mjs`
    const [, claims = ''] = /\b(claims|payload)\.client_id is the caller/.exec(block.text) ?? []
    writeFileSync(
      program,
      `const token = '${token}'\n${here(block.text)}\nconsole.log(${claims}.client_id)\n`,
    )
    // The packages of this repository as they stand in their source.
    const node = ['--conditions=@mintmark/source', '--disable-warning=ExperimentalWarning']
    const [file, given] =
      block.language === 'js'
        ? [process.execPath, [...node, program]]
        : ['/bin/sh', ['-ec', here(block.text)]]
    const { code, stdout, stderr } = await track(start(file, given, { environment, cwd: checkout })).outcome
    expect({ code, text: block.text }, stderr).toEqual({ code: 0, text: block.text })
    check?.(stdout, blocks[index + 1] ?? block)
    // What a reader would copy from one block into the next.
    environment['SECRET'] ??= /shipping[\s\S]*?(mm_[0-9A-Za-z]{57})/.exec(stdout)?.[1] ?? ''
    if (environment['SECRET'] === '') delete environment['SECRET']
    token = /"access_token":"([^"]+)"/.exec(stdout)?.[1] ?? token
  }
})
