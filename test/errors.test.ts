/** What callers are told is constant, permitted by the RFCs, and the same for all who prove nothing. */
import { describe, expect, test } from 'vitest'
import { OperatorError } from '../src/errors.ts'
import { explain } from '../src/process/explain.ts'
import {
  OAuthError,
  type OAuthErrorCode,
  type RefusalDefinition,
  type RefusalReason,
  refusals,
} from '../src/refusals.ts'

const rows = Object.entries(refusals) as [RefusalReason, RefusalDefinition][]

/** The statuses an error code may come with: RFC 6749 §5.2, RFC 8707 §2, RFC 9449 §5 and §8, RFC 9110, RFC 6585 §4. */
const statusesByError: Record<OAuthErrorCode, readonly number[]> = {
  invalid_request: [400, 405, 413, 415],
  invalid_client: [401],
  invalid_grant: [400],
  unauthorized_client: [400],
  unsupported_grant_type: [400],
  invalid_scope: [400],
  invalid_target: [400],
  invalid_dpop_proof: [400],
  use_dpop_nonce: [400],
  temporarily_unavailable: [429, 503],
  server_error: [500],
}

describe.each(rows)('%s', (reason, definition) => {
  test('its description has only the characters of RFC 6749 §5.2, and is a sentence', () => {
    expect(definition.description).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/)
    expect(definition.description).toMatch(/^[A-Z].*\.$/)
  })

  test('its status belongs to its error', () => {
    expect(statusesByError[definition.error]).toContain(definition.status)
  })

  test('its body is the JSON of RFC 6749 §5.2, and says no more', () => {
    const error = new OAuthError(reason, { cause: new Error('the cause') })
    expect(JSON.parse(error.body())).toEqual({
      error: definition.error,
      error_description: definition.description,
    })
  })

  test('it says when to try again exactly if that may help (RFC 9110 §10.2.3)', () => {
    const mayHelp = definition.status === 503 || definition.status === 429
    expect(new OAuthError(reason).retryAfterSeconds).toBe(mayHelp ? 1 : undefined)
    expect(new OAuthError(reason, { retryAfterSeconds: 7 }).retryAfterSeconds).toBe(7)
  })
})

test('everything that is wrong with a credential has one answer, unless its key or secret was right (RFC 6749 §5.2)', () => {
  const ofCredentials = rows.filter(([, { error }]) => error === 'invalid_client')
  const told = ofCredentials.filter(([, { description }]) => description !== 'Client authentication failed.')
  expect(told.map(([reason]) => reason)).toEqual([
    'assertion_audience_wrong',
    'assertion_audience_token_endpoint',
    'assertion_expired',
    'assertion_not_yet_valid',
    'assertion_lifetime_too_long',
    'assertion_replayed',
    'authentication_method_not_registered',
  ])
  const others = ofCredentials.filter((row) => !told.includes(row)).map(([reason]) => new OAuthError(reason))
  expect(others.length).toBeGreaterThan(5)
  expect(new Set(others.map((error) => error.body())).size).toBe(1)
})

test('an OAuthError carries its reason and its cause, for the log', () => {
  const cause = new Error('the cause')
  const error = new OAuthError('internal_error', { cause })
  expect(error).toMatchObject({
    name: 'OAuthError',
    reason: 'internal_error',
    message: 'internal_error',
    cause,
  })
  expect(new OAuthError('internal_error')).not.toHaveProperty('cause')
})

test('an OperatorError ends with exit code 1 unless it says otherwise', () => {
  expect(new OperatorError('do this')).toMatchObject({
    name: 'OperatorError',
    message: 'do this',
    exitCode: 1,
  })
  expect(new OperatorError('do this', { exitCode: 2 }).exitCode).toBe(2)
})

test('too many open files are told in words, wherever that stands', () => {
  const coded = Object.assign(new Error('open x'), { code: 'EMFILE' })
  for (const error of [
    coded,
    new Error('outer', { cause: coded }),
    new Error('Cannot read x: too many open files.'),
  ])
    expect(explain(error)).toMatchObject({
      exitCode: 1,
      message: expect.stringMatching(/^Too many files are open\./),
    })
})
