/** A key-encryption key is made once, for a database without keys, and never in the place of one that was lost. */
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  type KeyEncryptionKeyOptions,
  keyFiles,
  replaceKeyFile,
  resolveKeyEncryptionKeys,
} from '../../src/keys/key-encryption-key.ts'
import { said } from '../support/said.ts'

let directory: string
let path: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mintmark-key-'))
  path = join(directory, 'key-encryption-key')
})
afterEach(() => rmSync(directory, { recursive: true }))

function resolve(options: Partial<KeyEncryptionKeyOptions> = {}, hasKeys = false) {
  return resolveKeyEncryptionKeys({
    configured: undefined,
    previous: undefined,
    databaseIsEmbedded: true,
    dataDirectory: directory,
    hasSigningKeys: async () => hasKeys,
    ...options,
  })
}

test('it is made for an empty database, for its owner only, and found again', async () => {
  const [made] = await resolve()
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(readFileSync(path, 'utf8')).toBe(`${made.bytes.toString('base64')}\n`)
  expect((await resolve({}, true))[0].id).toBe(made.id)
  expect(readdirSync(directory)).toEqual(['key-encryption-key'])
})

test('those who start at the same time agree on one', async () => {
  const ids = await Promise.all(Array.from({ length: 8 }, async () => (await resolve())[0].id))
  expect(new Set(ids).size).toBe(1)
})

test('a lost one is not replaced', async () => {
  expect(await said(resolve({}, true))).toMatch(/is missing.*Nothing was generated or deleted/)
  expect(existsSync(path)).toBe(false)
})

test('a damaged one is refused and left as it is, with keys or without', async () => {
  await resolve()
  const whole = readFileSync(path, 'utf8')
  for (const damage of [
    () => truncateSync(path, 0),
    () => truncateSync(path, 20),
    () => writeFileSync(path, whole.replace(/^./, '!')),
    () => writeFileSync(path, `${whole}${whole}`),
  ]) {
    damage()
    const left = readFileSync(path, 'utf8')
    expect(await said(resolve({}, true))).toMatch(/Nothing was generated or deleted/)
    expect(await said(resolve({}, false))).toMatch(/Nothing was generated or deleted/)
    expect(readFileSync(path, 'utf8')).toBe(left)
  }
})

test('one that others can read or change is refused, and never replaced', async () => {
  expect((await resolve())[0].source).toBe(path)
  for (const mode of [0o640, 0o604, 0o620, 0o666]) {
    chmodSync(path, mode)
    expect(await said(resolve({}, true))).toContain(`mode 0${mode.toString(8)}`)
  }
  chmodSync(path, 0o600)
  expect((await resolve({}, true))[0].source).toBe(path)
})

test('a database of its own needs a key of its own', async () => {
  expect(await said(resolve({ databaseIsEmbedded: false }))).toMatch(
    /^MINTMARK_KEY_ENCRYPTION_KEY: must be set when DATABASE_URL is.*openssl/,
  )
  const [configured] = await resolve({ configured: Buffer.alloc(32, 7), databaseIsEmbedded: false })
  expect(configured.bytes).toEqual(Buffer.alloc(32, 7))
  expect(configured.source).toBe('configuration')
  expect(readdirSync(directory)).toEqual([])
})

test('the one before is at hand while keys are sealed anew', async () => {
  const [first] = await resolve()
  const next = replaceKeyFile(directory, first)
  expect(statSync(keyFiles(directory).previousPath).mode & 0o777).toBe(0o600)
  expect((await resolve({}, true)).map(({ id }) => id)).toEqual([next.id, first.id])
  const configured = { configured: Buffer.alloc(32, 7), previous: Buffer.alloc(32, 8) }
  expect((await resolve({ ...configured, databaseIsEmbedded: false })).map(({ bytes }) => bytes[0])).toEqual([
    7, 8,
  ])
})

test('a damaged one before is refused as well', async () => {
  const [first] = await resolve()
  replaceKeyFile(directory, first)
  truncateSync(keyFiles(directory).previousPath, 20)
  expect(await said(resolve({}, true))).toMatch(/previous: .*Nothing was generated or deleted/)
})
