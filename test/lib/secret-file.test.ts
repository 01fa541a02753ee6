import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import {
  readOnlyMountOf,
  readSecretFile,
  type SecretFileFacts,
  secretFileProblem,
} from '../../src/lib/secret-file.ts'

const user = 1000
const stranger = 1001

/** A file of the service's user, in a directory of root's. */
const facts: SecretFileFacts = {
  file: { mode: 0o100600, uid: user },
  directories: [
    { path: '/etc/mintmark', mode: 0o40755, uid: 0 },
    { path: '/', mode: 0o40755, uid: 0 },
  ],
  isOnReadOnlyMount: false,
  isInRunSecrets: false,
  ownerOnly: false,
  owners: [user],
}
const withFile = (mode: number, uid = user): SecretFileFacts => ({
  ...facts,
  file: { mode: 0o100000 | mode, uid },
})
const within = (mode: number, uid = 0): SecretFileFacts => ({
  ...facts,
  directories: [{ path: '/etc/mintmark', mode: 0o40000 | mode, uid }, ...facts.directories.slice(1)],
})

describe('a file with a secret', () => {
  test.each<[title: string, facts: SecretFileFacts]>([
    ['of the user, for nobody else', facts],
    ["of root's, for the group of the service", withFile(0o640, 0)],
    ['read-only', withFile(0o400)],
    ['of Kubernetes with fsGroup', withFile(0o440, 0)],
    ['in a directory that others cannot enter', { ...within(0o700), file: { mode: 0o100644, uid: user } }],
    ["in a directory of the user's", within(0o755, user)],
    ['in a directory in which nobody replaces what is not his', within(0o1777)],
    ['in a directory of a group', within(0o775)],
    ['below what is not of this container', within(0o755, 65_534)],
    [
      'that is mounted read-only, whoever owns it, as compose and Kubernetes do',
      { ...withFile(0o644, stranger), isOnReadOnlyMount: true },
    ],
    ['where container engines put it', { ...withFile(0o444, 0), isInRunSecrets: true }],
  ])('%s is read', (_title, of) => {
    expect(secretFileProblem(of)).toBeUndefined()
  })

  test.each<[title: string, facts: SecretFileFacts, problem: RegExp]>([
    ['that everybody can read', withFile(0o644), /can be read by every user/],
    ['that everybody can read and nobody lists', withFile(0o604), /can be read by every user/],
    ['that its group can change', withFile(0o660), /can be changed by others/],
    ['that others can change', withFile(0o602), /can be changed by others/],
    ["of another user's", withFile(0o600, stranger), /belongs to another user \(1001\)/],
    ['in a directory that everybody can write to', within(0o777), /can be replaced by others/],
    ["in a directory of another user's", within(0o755, stranger), /can be replaced by another user \(1001\)/],
    [
      'that others can change, where container engines put it',
      { ...withFile(0o646, 0), isInRunSecrets: true },
      /changed/,
    ],
    [
      'that a group can read, where the program made it',
      { ...withFile(0o640), ownerOnly: true },
      /read by others/,
    ],
  ])('%s is refused', (_title, of, problem) => {
    expect(secretFileProblem(of)).toMatch(problem)
  })
})

describe('on a disk', () => {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-secret-'))
  chmodSync(directory, 0o711)
  afterAll(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'secret')
  writeFileSync(path, 'x', { mode: 0o600 })

  test('the mode of the file itself counts', () => {
    expect(readSecretFile(path)).toBe('x')
    chmodSync(path, 0o644)
    expect(() => readSecretFile(path)).toThrow(/read by every user/)
    expect(readSecretFile(path, { trust: true })).toBe('x')
    chmodSync(path, 0o600)
  })

  test('a link is followed, and whoever can change the link can change the secret', () => {
    const open = join(directory, 'open')
    mkdirSync(open)
    symlinkSync(path, join(open, 'link'))
    expect(readSecretFile(join(open, 'link'))).toBe('x')
    chmodSync(open, 0o777)
    expect(() => readSecretFile(join(open, 'link'))).toThrow(/can be replaced by others/)
    chmodSync(open, 0o755)
  })

  test.skipIf(process.getuid?.() !== 0)(
    'root reads what belongs to the owner of the directory, and to no other',
    () => {
      const file = join(directory, 'owned')
      writeFileSync(file, 'y', { mode: 0o600 })
      chownSync(file, user, user)
      expect(() => readSecretFile(file)).toThrow(/another user \(1000\)/)
      expect(readSecretFile(file, { owner: user })).toBe('y')
    },
  )
})

describe('what Linux says of mounts', () => {
  const table = [
    '21 1 0:1 / / ro,relatime - overlay overlay ro',
    '22 21 0:2 / /run rw,nosuid - tmpfs tmpfs rw',
    '23 22 0:3 / /run/secrets/key ro,relatime - ext4 /dev/sda1 rw',
    '24 21 0:4 / /etc/with\\040space ro - tmpfs tmpfs rw',
    '25 21 0:5 / /etc/covered ro - tmpfs tmpfs rw',
    '26 21 0:6 / /etc/covered rw - tmpfs tmpfs rw',
    '',
  ].join('\n')

  test.each([
    ['/run/secrets/key', true],
    ['/run/secrets/key-2', false],
    ['/etc/with space/key', true],
    ['/etc/covered/key', false],
    // The image itself, which compose mounts read-only: what is in there is in every copy of the image.
    ['/mintmark/key', false],
  ])('%s: read-only is %s', (path, isReadOnly) => {
    expect(readOnlyMountOf(path, table)).toBe(isReadOnly)
  })
})
