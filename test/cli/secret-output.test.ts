import { readFileSync, statSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { SecretOutput } from '../../src/cli/terminal/secret-output.ts'
import { test } from '../support/fixtures.ts'

describe('a new secret', () => {
  test('is not printed where a log would keep it, and nothing is changed', () => {
    expect(() => new SecretOutput('secret-out', undefined, true).reserve()).toThrow(
      /^--secret-out: must be set here: .* log of a container/,
    )
  })

  test('is printed there if somebody asks for that', () => {
    const output = new SecretOutput('secret-out', '-', true)
    output.reserve()
    expect(output.path).toBeUndefined()
  })

  test('is printed where a person or a script reads it', () => {
    new SecretOutput('secret-out', undefined, false).reserve()
  })

  test('is in a file of its owner, if one is named', async ({ files }) => {
    const path = files.path('secret')
    const output = new SecretOutput('secret-out', path, true)
    output.reserve()
    await output.around(async () => output.deliver('x\n'))
    expect(readFileSync(path, 'utf8')).toBe('x\n')
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })
})
