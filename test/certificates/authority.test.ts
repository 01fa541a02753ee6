/** What a development CA writes is whole at every moment, and what it refuses has a name. */
import { spawnSync } from 'node:child_process'
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createAuthority, issueCertificate, revokeCertificates } from '../../src/certificates/authority.ts'
import { parseDays } from '../../src/certificates/lifetime.ts'
import { authorityOverview } from '../../src/certificates/overview.ts'
import { renewCertificate, renewDue } from '../../src/certificates/renewal.ts'
import { billing, both, codeOf, day, localhost, newAuthority, now } from '../support/authority.ts'
import { pairReader } from '../support/pair-reader.ts'
import { scratch } from '../support/scratch.ts'

const isPair = (certificate: string, key: string): boolean =>
  new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))

describe('renewal', () => {
  test('keeps names, uses, lifetime and key; with a new key both files are replaced', async () => {
    const authority = await newAuthority()
    await issueCertificate(authority.context, { ...localhost, days: 7 })
    const [first, key] = [authority.read('localhost/tls.crt'), authority.read('localhost/tls.key')]
    const renewed = await renewCertificate(authority.at(day), 'localhost', {
      days: undefined,
      withNewKey: false,
    })
    const second = new X509Certificate(authority.read('localhost/tls.crt'))
    expect(renewed.expiresAt).toBe(now + 8 * day)
    expect(second.subjectAltName).toBe(new X509Certificate(first).subjectAltName)
    expect(second.keyUsage).toEqual(new X509Certificate(first).keyUsage)
    expect(second.serialNumber).not.toBe(new X509Certificate(first).serialNumber)
    expect(authority.read('localhost/tls.key')).toBe(key)

    await renewCertificate(authority.at(day), 'localhost', { days: 3, withNewKey: true })
    expect(authority.read('localhost/tls.key')).not.toBe(key)
    expect(isPair(authority.read('localhost/tls.crt'), authority.read('localhost/tls.key'))).toBe(true)
    expect(new X509Certificate(authority.read('localhost/tls.crt')).validToDate.getTime()).toBe(
      (now + 4 * day) * 1000,
    )
  })

  test('needs no private key, which may be kept elsewhere', async () => {
    const authority = await newAuthority()
    await issueCertificate(authority.context, billing)
    const key = authority.read('billing/tls.key')
    rmSync(authority.path('billing/tls.key'))
    await renewCertificate(authority.context, 'billing', { days: undefined, withNewKey: false })
    expect(isPair(authority.read('billing/tls.crt'), key)).toBe(true)
    expect(existsSync(authority.path('billing/tls.key'))).toBe(false)
    expect(authorityOverview(authority.context.directory, now).certificates).toMatchObject([
      { files: 'without key' },
    ])
  })

  test('of all that are due renews those, and no others', async () => {
    const authority = await newAuthority()
    await issueCertificate(authority.context, { ...localhost, days: 30 })
    await issueCertificate(authority.context, { ...billing, days: 9 })
    const how = { days: undefined, withNewKey: false }
    expect(await renewDue(authority.at(6 * day), how)).toEqual([])
    const renewed = await renewDue(authority.at(6 * day + 1), how)
    expect(renewed.map(({ name }) => name)).toEqual(['billing'])
    expect(authorityOverview(authority.context.directory, now + 6 * day + 1).list.expiresAt).toBe(
      now + 36 * day + 1,
    )
  })

  test('whoever reads at any moment gets a certificate and its key', async () => {
    const authority = await newAuthority()
    await issueCertificate(authority.context, localhost)
    await issueCertificate(authority.context, both)
    // The first is read by the names of its files, and keeps its key. Of the second, whose key changes, the reader
    // follows the link first, because there are two files to open.
    const flags = new Int32Array(new SharedArrayBuffer(12))
    const workerData = { flags, kept: authority.path('localhost'), changed: authority.path('both') }
    const reader = new Worker(pairReader, { workerData })
    onTestFinished(async () => void (await reader.terminate()))
    const ended = once(reader, 'exit')
    for (let seen = 0; seen < 20; seen = Atomics.load(flags, 1)) {
      for (const name of ['localhost', 'both'])
        await renewCertificate(authority.context, name, { days: undefined, withNewKey: name === 'both' })
    }
    Atomics.store(flags, 0, 1)
    await ended
    expect(Atomics.load(flags, 2)).toBe(0)
  })

  test('refuses files that do not belong together, unless both are replaced', async () => {
    const authority = await newAuthority()
    await issueCertificate(authority.context, localhost)
    await issueCertificate(authority.context, both)
    rmSync(authority.path('localhost/tls.key'))
    writeFileSync(authority.path('localhost/tls.key'), authority.read('both/tls.key'))
    expect(authorityOverview(authority.context.directory, now).certificates).toMatchObject([
      { files: 'not a pair' },
      { files: 'in place' },
    ])
    const renew = (withNewKey: boolean) =>
      codeOf(renewCertificate(authority.context, 'localhost', { days: undefined, withNewKey }))
    expect(await renew(false)).toBe('certificate_differs')
  })
})

describe('files', () => {
  test('private keys and the record are their owner’s, whatever the umask is', async () => {
    const before = process.umask(0)
    onTestFinished(() => void process.umask(before))
    const authority = await newAuthority()
    await issueCertificate(authority.context, localhost)
    const modeOf = (name: string): string => (statSync(authority.path(name)).mode & 0o777).toString(8)
    const names = [
      'ca.key',
      'ca.json',
      'localhost/tls.key',
      'ca.crt',
      'ca.crl',
      'localhost/tls.crt',
      '.',
      'localhost',
    ]
    expect(names.map(modeOf)).toEqual(['600', '600', '600', '644', '644', '644', '755', '755'])
  })

  test('only the last issuance and the one before are kept', async () => {
    const authority = await newAuthority()
    await issueCertificate(authority.context, localhost)
    for (let count = 0; count < 4; count += 1)
      await renewCertificate(authority.context, 'localhost', { days: undefined, withNewKey: true })
    const entries = readdirSync(authority.path('localhost'))
    expect(entries.filter((entry) => entry.startsWith('..') && entry !== '..data')).toHaveLength(2)
    expect(entries.filter((entry) => !entry.startsWith('..')).sort()).toEqual([
      'ca.crt',
      'tls.crt',
      'tls.key',
    ])
    expect(readdirSync(authority.path('.')).sort()).toEqual([
      'ca.crl',
      'ca.crt',
      'ca.json',
      'ca.key',
      'localhost',
    ])
  })

  test('commands at the same time come one after the other', async () => {
    const authority = await newAuthority()
    const names = Array.from({ length: 8 }, (_, index) => `client-${index}`)
    await Promise.all(names.map((name) => issueCertificate(authority.context, { ...billing, name })))
    const { certificates } = authorityOverview(authority.context.directory, now)
    expect(certificates.map(({ name, files }) => `${name} ${files}`).sort()).toEqual(
      names.map((name) => `${name} in place`),
    )
    await Promise.all(names.map((name) => revokeCertificates(authority.context, name)))
    expect(authorityOverview(authority.context.directory, now).list.revoked).toBe(8)
    expect(existsSync(authority.path('lock'))).toBe(false)
  })

  test('a key that others can read is refused', async () => {
    const authority = await newAuthority()
    chmodSync(authority.path('ca.key'), 0o640)
    expect(await codeOf(issueCertificate(authority.context, localhost))).toBe('authority_damaged')
  })

  test.each([
    ['ca.crt', 'nothing'],
    ['ca.key', 'nothing'],
    ['ca.json', 'nothing'],
    ['ca.json', '{}'],
    ['ca.json', '{"revocationListNumber":1,"permitted":[],"certificates":[{"name":"a"}]}'],
  ])('a damaged %s is named (%s)', async (name, text) => {
    const authority = await newAuthority()
    writeFileSync(authority.path(name), text)
    expect(await codeOf(issueCertificate(authority.context, localhost))).toBe('authority_damaged')
  })

  test('a damaged list is named where it is read, and written anew by the next command', async () => {
    const authority = await newAuthority()
    writeFileSync(authority.path('ca.crl'), 'nothing')
    const show = () => authorityOverview(authority.context.directory, now)
    expect(show).toThrow('authority_damaged')
    await renewDue(authority.context, { days: undefined, withNewKey: false })
    expect(show()).toMatchObject({ list: { state: 'valid' } })
  })

  test('a command waits for another one, and not for one that was killed', async () => {
    const authority = await newAuthority()
    writeFileSync(authority.path('lock'), `${process.pid}\n`)
    const issued = issueCertificate(authority.context, localhost)
    await expect.poll(() => existsSync(authority.path('localhost'))).toBe(false)
    rmSync(authority.path('lock'))
    expect(await codeOf(issued)).toBe('done')
    const { pid = 0 } = spawnSync(process.execPath, ['--version'])
    writeFileSync(authority.path('lock'), `${pid}\n`)
    expect(await codeOf(issueCertificate(authority.context, billing))).toBe('authority_busy')
  })

  test('the key of another CA is refused', async () => {
    const [authority, other] = [await newAuthority(), await newAuthority()]
    writeFileSync(authority.path('ca.key'), other.read('ca.key'))
    expect(await codeOf(issueCertificate(authority.context, localhost))).toBe('authority_damaged')
  })
})

describe('the order of things', () => {
  test('a CA is created once', async () => {
    const authority = await newAuthority()
    const before = authority.read('ca.key')
    expect(await codeOf(createAuthority(authority.context, 1, []))).toBe('authority_exists')
    expect(authority.read('ca.key')).toBe(before)
  })

  test('not where something else is, and of two at the same time one', async () => {
    const files = scratch()
    onTestFinished(() => files.remove())
    writeFileSync(files.path('other'), '')
    const context = { directory: files.path('.'), now, randomBytes }
    expect(await codeOf(createAuthority(context, 1, []))).not.toBe('done')
    const free = { ...context, directory: files.path('free/ca') }
    const codes = await Promise.all([createAuthority(free, 1, []), createAuthority(free, 1, [])].map(codeOf))
    expect(codes.sort()).toEqual(['authority_exists', 'done'])
  })

  test('nothing works without one', async () => {
    const files = scratch()
    onTestFinished(() => files.remove())
    const context = { directory: files.path('none'), now, randomBytes }
    expect(await codeOf(issueCertificate(context, localhost))).toBe('authority_missing')
    expect(await codeOf(renewDue(context, { days: undefined, withNewKey: false }))).toBe('authority_missing')
    expect(await codeOf(revokeCertificates(context, 'a'))).toBe('authority_missing')
    expect(() => authorityOverview(context.directory, now)).toThrow('authority_missing')
    expect(existsSync(context.directory)).toBe(false)
  })

  test('a name has one certificate; a revoked one is issued anew and not renewed', async () => {
    const authority = await newAuthority()
    await issueCertificate(authority.context, localhost)
    expect(await codeOf(issueCertificate(authority.context, localhost))).toBe('certificate_exists')
    await revokeCertificates(authority.context, 'localhost')
    const how = { days: undefined, withNewKey: true }
    expect(await codeOf(renewCertificate(authority.context, 'localhost', how))).toBe('certificate_revoked')
    await issueCertificate(authority.context, { ...localhost, uses: ['client'] })
    expect(authorityOverview(authority.context.directory, now)).toMatchObject({
      list: { revoked: 1 },
      certificates: [{ state: 'valid', uses: ['client'], files: 'in place' }],
    })
    // One that has expired is in nobody's way.
    await issueCertificate(authority.at(31 * day), localhost)
  })

  test('who is not there is not renewed or revoked', async () => {
    const authority = await newAuthority()
    const how = { days: undefined, withNewKey: true }
    expect(await codeOf(renewCertificate(authority.context, 'nobody', how))).toBe('certificate_missing')
    expect(await codeOf(revokeCertificates(authority.context, 'nobody'))).toBe('certificate_missing')
  })

  test.each(['', '.', '..', '../a', 'a/b', '/a', 'A', 'a b', 'a..b', '-a', 'a-', 'ä', 'a'.repeat(64), 'a\0'])(
    'no certificate is called %j',
    async (name) => {
      const authority = await newAuthority()
      expect(await codeOf(issueCertificate(authority.context, { ...localhost, name }))).toBe('name_malformed')
    },
  )

  test.each(['ca', 'ca.key', 'ca.crt', 'lock'])('nor %j, which is the CA’s own', async (name) => {
    const authority = await newAuthority()
    expect(await codeOf(issueCertificate(authority.context, { ...localhost, name }))).toBe('name_reserved')
  })

  test('nothing outlives its CA', async () => {
    const authority = await newAuthority([], 10)
    const { expiresAt } = await issueCertificate(authority.context, localhost)
    expect(expiresAt).toBe(now + 10 * day)
    expect(await codeOf(issueCertificate(authority.context, { ...billing, days: 11 }))).toBe(
      'lifetime_beyond_authority',
    )
    expect(await issueCertificate(authority.at(7), { ...billing, days: 10 })).toMatchObject({ expiresAt })
    expect(await codeOf(issueCertificate(authority.at(10 * day), both))).toBe('authority_expired')
    expect(authorityOverview(authority.context.directory, now + 10 * day)).toMatchObject({
      state: 'expired',
      list: { state: 'expired' },
    })
  })

  test.each(['0', '398', '-1', '1.5', 'x', '', '1e2', '100000'])('no certificate lives %j days', (days) => {
    expect(() => parseDays(days, { least: 1, most: 397 })).toThrow('lifetime_refused')
  })
})
