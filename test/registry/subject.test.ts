/** The subject of tokens for somebody else: which forms there are, and which clients they fit. */

import { describe, expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { isSubjectForm, subjectOf } from '../../src/registry/subject.ts'

describe('a form', () => {
  test.each([
    '{client_id}',
    'system:client:{client_id}',
    'spiffe://example.org/{client_id}',
    'spiffe://example.org/ns/prod/sa/{client_id}',
    'urn:acme:{client_id}:prod',
    'https://example.com/clients/{client_id}',
  ])('%s', (form) => {
    expect(isSubjectForm(form)).toBe(true)
  })

  test.each([
    ['without the client all would be one', 'system:client'],
    ['with it twice', '{client_id}:{client_id}'],
    ['another placeholder', '{id}'],
    ['another one beside it', '{client_id}:{tenant}'],
    ['a space', 'a {client_id}'],
    ['a quotation mark', 'a"{client_id}'],
    ['a letter beyond ASCII', 'ä{client_id}'],
    ['a trust domain with capitals', 'spiffe://Example.org/{client_id}'],
    ['a trust domain from the client', 'spiffe://{client_id}'],
    ['a port', 'spiffe://example.org:8443/{client_id}'],
    ['an empty segment', 'spiffe://example.org//{client_id}'],
    ['a segment that goes up', 'spiffe://example.org/../{client_id}'],
    ['a slash at the end', 'spiffe://example.org/{client_id}/'],
  ])('not %s', (_, form) => {
    expect(isSubjectForm(form)).toBe(false)
  })
})

describe('a subject', () => {
  test('has the id as it is', () => {
    expect(subjectOf('system:client:{client_id}', 'acme/billing@eu')).toBe('system:client:acme/billing@eu')
    // Replaced as text: a dollar sign of a replacement means nothing.
    expect(subjectOf('a$&{client_id}', 'b')).toBe('a$&b')
  })

  test.each([
    ['billing', 'spiffe://example.org/billing'],
    ['acme/billing.v2', 'spiffe://example.org/acme/billing.v2'],
    ['acme:billing', undefined],
    ['billing@eu', undefined],
    ['a//b', undefined],
    ['a/../b', undefined],
    ['a/.', undefined],
    ['a/', undefined],
    ['a/...', 'spiffe://example.org/a/...'],
    ['a~b', undefined],
    ['workload:x', undefined],
  ])('by SPIFFE of %s: %s', (clientId, subject) => {
    expect(subjectOf('spiffe://example.org/{client_id}', clientId)).toBe(subject)
  })

  test('is within the 255 characters that AWS keeps', () => {
    const form = `${'p'.repeat(limits.subjectFormCharactersMax - '{client_id}'.length)}{client_id}`
    expect(subjectOf(form, 'c'.repeat(limits.clientIdCharactersMax))?.length).toBeLessThanOrEqual(255)
  })
})
