/** Times in arguments are read in several forms, and one that cannot be right is answered with one that is. */
import { describe, expect, test } from 'vitest'
import { makeSecret } from '../../src/authentication/secret.ts'
import { keysRevoke } from '../../src/cli/commands/keys-revoke.ts'
import { futureMoment, parseArguments, pastMoment } from '../../src/cli/terminal/arguments.ts'
import { exitCodes } from '../../src/errors.ts'
import { command } from '../support/command.ts'

/** 2027-01-31T12:00:00Z, in seconds since 1970. */
const now = 1_801_396_800

describe('a time in the past', () => {
  test.each([
    ['30m', now - 1_800],
    ['7d', now - 7 * 86_400],
    ['2027-01-31', now - 12 * 3_600],
    ['2027-01-31T11:59:59Z', now - 1],
    ['2027-01-31T13:00:00+02:00', now - 3_600],
  ])('%s', (text, seconds) => {
    expect(pastMoment('since', text, now * 1_000)).toBe(seconds * 1_000)
  })

  test.each(['yesterday', '-5', '', '2027-01-32', '12:00'])('not %j', (text) => {
    expect(() => pastMoment('since', text, now * 1_000)).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(/^--since: ".*" is not a time\. Write a time ago like 30m, 2h or 7d/),
        exitCode: exitCodes.usage,
      }),
    )
  })
})

describe('a time in the future', () => {
  test.each([
    ['90d', now + 90 * 86_400],
    ['2027-01-31T12:00:01Z', now + 1],
  ])('%s', (text, seconds) => {
    expect(futureMoment('expires-at', text, now)).toBe(seconds)
  })

  test.each([
    ['tomorrow', 'is not a time. Write a time from now like 90d, or 2027-01-31T23:59:59Z'],
    ['2027-01-31', 'is not a time.'],
    ['2027-01-31T12:00:00Z', 'is in the past. Write a later time.'],
  ])('not %s', (text, problem) => {
    expect(() => futureMoment('expires-at', text, now)).toThrow(
      expect.objectContaining({
        message: expect.stringContaining(`--expires-at: "${text}" ${problem}`),
        exitCode: exitCodes.usage,
      }),
    )
  })
})

describe('a key whose thumbprint begins with a dash', () => {
  const kid = '-iD4dq4Tzm2X_907uEOEeTBxVeUnLV88L9hXRPZc_ph'

  test.each([[[kid, '--yes']], [['--yes', kid]], [['--yes', '--', kid]]])(
    'is a name, and no option: %j',
    (given) => {
      expect(parseArguments(keysRevoke, given)).toMatchObject({ positionals: [kid], options: { yes: true } })
    },
  )

  test('anything shorter is an option that there is not', () => {
    expect(() => parseArguments(keysRevoke, ['-iD4dq4'])).toThrow(/has no option -i/)
  })
})

describe('what stands in a wrong place', () => {
  const { secret } = makeSecret((size) => Buffer.alloc(size, 7))
  const canary = 'CANARY0123'
  const credentials = [secret, `postgresql://u:${canary}@h/x`, `eyJhbGciOiJ${canary}.e30.AA`]

  test.each(credentials)('is not repeated if it is a credential: %s', async (credential) => {
    const places = [
      [credential],
      ['clients', credential],
      ['clients', 'list', credential],
      ['clients', 'list', `--${credential}`],
      ['clients', 'list', '--limit', `-${credential}`],
      ['audit', 'verify', credential],
      ['audit', 'list', '--since', credential],
    ]
    for (const given of places) {
      const { code, stderr } = await command({}, ...given)
      expect(code, given.join(' ')).not.toBe(0)
      expect(stderr).not.toMatch(new RegExp(`${secret}|${canary}`))
    }
  })

  test('is cut short if it is long', async () => {
    const { stderr } = await command({}, 'clients', 'x'.repeat(100_000))
    expect(stderr.length).toBeLessThan(500)
  })
})
