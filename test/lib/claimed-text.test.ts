import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeSecret } from '../../src/authentication/secret.ts'
import { ClaimedText, looksLikeCredential } from '../../src/lib/claimed-text.ts'

/** Names that people give to clients, resources, scopes and programs, with a typing error here and there. */
const names = [
  'billing',
  'biling-servcie',
  'orders-api-prod-eu-west-1',
  'svc-k8s-mqtt-bridge-01',
  'NightlyReportGenerator',
  'HRIS-ADP-WFN-SFTP',
  'zahlungsabwicklung',
  'Krankenversicherungsabgleich',
  'customer-4711',
  '2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1',
  'api://2b0f1c8e-5c0b-4a40-9df0-1d4d3ac0a8b1/.default',
  'https://orders.example.com:8443/base?tenant=acme',
  'spiffe://example.org/ns/prod/sa/payments-worker',
  'robot@my-project-123456.iam.gserviceaccount.com',
  'arn:aws:iam::123456789012:role/ReportExporter',
  'urn:ietf:params:oauth:grant-type:jwt-bearer',
  'orders:read orders:write',
  'batch.2026-11-26T23.42',
  'Go-http-client/2.0',
  'Apache-HttpClient/4.5.14 (Java/17.0.9)',
  'aws-sdk-nodejs/2.1531.0 linux/v18.18.2 exec-env/AWS_Lambda_nodejs18.x promise',
  'Boto3/1.34.11 md/Botocore#1.34.11 ua/2.0 os/linux#6.5.0-1014-aws md/arch#x86_64 lang/python#3.10.12',
  'kubectl/v1.28.2 (linux/amd64) kubernetes/89a4ea3',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148',
  'mm_k3v9x2ab',
  'the password',
]

const credentials = [
  'a client_secret : x',
  '"client_assertion"= x',
  'password=',
  'https://orders.example.com/?api_key=x',
  'https://billing:hunter2@orders.example.com/',
  'YmlsbGluZzpodW50ZXIy',
  'eyJhbGciOiJFUzI1NiJ9',
  'Basic YWJjZGVm',
  'proxy/1 (Bearer abcdef)',
  '-----BEGIN RSA PRIVATE KEY-----',
  '$argon2id$v=19',
  'AKIAIOSFODNN7EXAMPLE',
  'ghp_16C7e42F292c',
  '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b',
  '123456789012345678901234',
]

describe('what looks like a credential', () => {
  test.each(names)('not %s', (name) => {
    expect(looksLikeCredential(name)).toBe(false)
  })

  test.each(credentials)('%s', (credential) => {
    expect(looksLikeCredential(credential)).toBe(true)
  })

  // A stranger chooses the user agent. What takes the square of a length takes half a minute here, and all else nothing.
  test.each([
    ['a user of many colons', `//${':'.repeat(200_000)}`],
    ['a pair of many colons, in base64', `${Buffer.from(':i?'.repeat(130_000)).toString('base64')}////`],
    ['a name without its value', `secret${' '.repeat(200_000)}`],
    ['a scheme without its credentials', `basic${' '.repeat(200_000)}`],
    ['escapes of escapes', '%25'.repeat(70_000)],
    ['parts of ids', 'abcdef01-'.repeat(22_000)],
  ])('%s takes no longer than it is long', (_, text) => {
    const startedAt = performance.now()
    looksLikeCredential(text)
    expect(performance.now() - startedAt).toBeLessThan(5_000)
  })

  /** Made from so many random bytes, so that fast-check can repeat a failure. */
  const secrets = fc
    .uint8Array({ minLength: 48, maxLength: 48 })
    .map((bytes) => createHash('sha512').update(bytes).digest())
    .map((bytes) => makeSecret((size) => bytes.subarray(bytes.length - size)).secret)
  const encodings: readonly ((secret: string) => string)[] = [
    (secret) => secret,
    (secret) => Buffer.from(secret).toString('base64'),
    (secret) => Buffer.from(`billing:${secret}`).toString('base64url'),
    (secret) => Buffer.from(secret).toString('hex'),
    (secret) => secret.toLowerCase(),
    (secret) => secret.toUpperCase(),
    (secret) => secret.replace(/./g, (each) => `%${each.charCodeAt(0).toString(16)}`),
  ]

  test('a secret, in any encoding, and any part of it of 32 characters', () => {
    fc.assert(
      fc.property(
        secrets,
        fc.constantFrom(...encodings),
        fc.nat(),
        fc.nat(),
        (secret, encode, from, more) => {
          const text = encode(secret)
          const start = from % (text.length - 31)
          const part = text.slice(start, start + 32 + (more % (text.length - start - 31)))
          // Of an encoding with three characters for one, 32 characters are eleven.
          if (text.includes('%')) expect(looksLikeCredential(text)).toBe(true)
          else expect(looksLikeCredential(part), part).toBe(true)
        },
      ),
      { numRuns: 2_000 },
    )
  })

  test('and is found inside a name', () => {
    fc.assert(
      fc.property(secrets, fc.constantFrom(...names), (secret, name) => {
        expect(looksLikeCredential(`${name}/${secret.slice(5, 35)}`)).toBe(true)
        expect(looksLikeCredential(`${secret.slice(5, 35)} ${name}`)).toBe(true)
      }),
    )
  })
})

describe('what is kept', () => {
  const text = new ClaimedText(Buffer.alloc(32, 1))
  const secret = `mm_k3v9x2ab${'Z0'.repeat(24)}Z`

  test('a name that is possible is kept as it is, also the second time', () => {
    for (const name of [...names, ...names]) expect(text.keep(name, true)).toBe(name)
  })

  test('of one that is not, or that looks like a credential, the length and a hash', () => {
    expect(text.keep('a b', false)).toMatch(/^\[withheld: length 3, hash [0-9a-f]{16}\]$/)
    expect(text.keep('password=', true)).toMatch(/^\[withheld: length 9, hash [0-9a-f]{16}\]$/)
  })

  test('and the id of a whole secret', () => {
    expect(text.keep(secret, true)).toMatch(
      /^\[withheld: length 60, hash [0-9a-f]{16}, secret mm_k3v9x2ab…\]$/,
    )
    expect(text.keep(secret.slice(0, -1), true)).not.toContain('k3v9x2ab')
  })

  test('two values have two hashes, and one value has one under the same key', () => {
    expect(text.keep('password=a', true)).toBe(new ClaimedText(Buffer.alloc(32, 1)).keep('password=a', true))
    expect(text.keep('password=a', true)).not.toBe(text.keep('password=b', true))
  })

  test('a hash cannot be found by who guesses the value and lacks the key', () => {
    const other = new ClaimedText(Buffer.alloc(32, 2))
    expect(text.keep('password=a', true)).not.toBe(other.keep('password=a', true))
    const plain = createHash('sha256').update('password=a').digest('hex')
    expect(text.keep('password=a', true)).not.toContain(plain.slice(0, 16))
  })
})
