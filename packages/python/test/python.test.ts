/** The Python package, built as a wheel, installed in an environment of its own, passes its own tests there. */
import { describe, expect, test } from 'vitest'
import { openPythonEnvironment } from './environment.ts'

const environment = openPythonEnvironment()

if (typeof environment === 'string') test(`NOT TESTED: packages/python, because ${environment}`, () => {})

describe.skipIf(typeof environment === 'string')('packages/python', () => {
  test('its wheel passes its tests', () => {
    if (typeof environment === 'string') return
    const { ok, output } = environment.run('python', ['-m', 'pytest', '-p', 'no:cacheprovider'])
    expect(output).toMatch(/\d+ passed/)
    expect(ok, output).toBe(true)
  })
})
