/** A key-encryption key is made once, for a database without keys, and never in the place of one that was lost. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  type KeyEncryptionKeyOptions,
  keyEncryptionKeysAtHand,
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
afterEach(() => {
  vi.restoreAllMocks()
  rmSync(directory, { recursive: true })
})

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
  await expect(resolve({}, true)).rejects.toMatchObject({ code: 'key_file_lost', fields: { path } })
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
    const fields = { path, isEmpty: left === '' }
    await expect(resolve()).rejects.toMatchObject({ code: 'key_file_malformed', fields })
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
    await expect(resolve()).rejects.toMatchObject({
      code: 'key_file_unreadable',
      cause: { name: 'SecretFileProblem' },
    })
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

test('the one before may be in the configuration, unless a file has it', async () => {
  const [first] = await resolve()
  expect(await resolve()).toEqual([first])
  const previous = Buffer.alloc(32, 8)
  expect((await resolve({ previous })).map(({ source }) => source)).toEqual([path, 'configuration'])
  const next = replaceKeyFile(directory, first)
  expect((await resolve({ previous })).map(({ id }) => id)).toEqual([next.id, first.id])
  const configured = Buffer.alloc(32, 7)
  expect(await resolve({ configured })).toHaveLength(1)
})

test('it is made in a directory that is made for it', async () => {
  const dataDirectory = join(directory, 'one', 'other')
  expect((await resolve({ dataDirectory }))[0].source).toBe(join(dataDirectory, 'key-encryption-key'))
})

describe('one that cannot be made', () => {
  test('is not used, and it is said why', async () => {
    writeFileSync(path, '')
    const dataDirectory = join(path, 'data')
    await expect(resolve({ dataDirectory })).rejects.toMatchObject({
      code: 'key_file_unreadable',
      fields: {
        path: keyFiles(dataDirectory).path,
        problem: 'a part of its path is a file and not a directory',
      },
      cause: { code: 'ENOTDIR' },
    })
    await expect(resolve({ dataDirectory: '/proc/nobody' })).rejects.toMatchObject({
      code: 'key_file_uncreatable',
      fields: { path: '/proc/nobody/key-encryption-key', problem: expect.stringMatching(/./) },
      cause: { code: expect.stringMatching(/^E/) },
    })
  })

  test('is not used if it is gone again: here a link that leads nowhere is in its place', async () => {
    symlinkSync(join(directory, 'nowhere'), path)
    await expect(resolve()).rejects.toMatchObject({ code: 'key_file_vanished', fields: { path } })
  })
})

describe('those that exist already', () => {
  const atHand = (options: Partial<KeyEncryptionKeyOptions> = {}) =>
    keyEncryptionKeysAtHand({
      configured: undefined,
      previous: undefined,
      databaseIsEmbedded: true,
      dataDirectory: directory,
      ...options,
    })?.map(({ id }) => id)

  test('are found without making any', async () => {
    expect(atHand()).toBeUndefined()
    expect(readdirSync(directory)).toEqual([])
    const [first] = await resolve()
    expect(atHand()).toEqual([first.id])
    const next = replaceKeyFile(directory, first)
    expect(atHand()).toEqual([next.id, first.id])
  })

  test('are in files with the embedded database alone, and the configuration comes first', async () => {
    const [file] = await resolve()
    const [configured, previous] = [Buffer.alloc(32, 7), Buffer.alloc(32, 8)]
    const [current, before] = await resolve({ configured, previous })
    replaceKeyFile(directory, file)
    expect(atHand({ databaseIsEmbedded: false })).toBeUndefined()
    expect(atHand({ databaseIsEmbedded: false, previous })).toBeUndefined()
    expect(atHand({ databaseIsEmbedded: false, configured })).toEqual([current.id])
    expect(atHand({ configured, previous })).toEqual([current.id, before?.id])
    expect(atHand({ configured })).toEqual([current.id, file.id])
  })
})

describe.runIf(process.geteuid?.() === 0)('the files of another user', () => {
  const owner = 12_345
  const give = async () => {
    const [made] = await resolve()
    for (const each of [path, directory]) chownSync(each, owner, owner)
    return made.id
  }

  test('are read by root, who works on the data of others', async () => {
    const id = await give()
    expect((await resolve({}, true))[0].id).toBe(id)
  })

  test('are not read by a third one', async () => {
    await give()
    vi.spyOn(process, 'geteuid').mockReturnValue(owner + 1)
    expect(await said(resolve({}, true))).toContain(`belongs to another user (${owner})`)
  })
})

test('a damaged one before is refused as well', async () => {
  const [first] = await resolve()
  replaceKeyFile(directory, first)
  truncateSync(keyFiles(directory).previousPath, 20)
  expect(await said(resolve({}, true))).toMatch(/previous: .*Nothing was generated or deleted/)
})
