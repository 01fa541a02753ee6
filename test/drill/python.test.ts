/**
 * The Python package: its types and its style, and its own tests with every Python of this machine. It is built as a wheel,
 * and installed in an environment of its own.
 */
import { describe, expect, test } from 'vitest'
import { openPythonEnvironment, pythons } from '../../packages/python/test/environment.ts'

const environment = openPythonEnvironment()

if (typeof environment === 'string') test(`NOT TESTED: packages/python, because ${environment}`, () => {})

describe.skipIf(typeof environment === 'string')('packages/python', () => {
  test.each([
    ['its types, strictly', ['-m', 'mypy', '--cache-dir', '../../node_modules/.cache/python/mypy']],
    ['its style', ['-m', 'ruff', 'check', '--no-cache', '.', '../../examples']],
    ['its format', ['-m', 'ruff', 'format', '--check', '--no-cache', '.', '../../examples']],
  ])('%s', (_, words) => {
    if (typeof environment === 'string') return
    const { ok, output } = environment.run('python', words)
    expect(ok, output).toBe(true)
  })

  test.each(pythons())('its tests with Python $version', (python) => {
    const another = openPythonEnvironment(python)
    if (typeof another === 'string') throw new Error(another)
    const { ok, output } = another.run('python', ['-m', 'pytest', '-p', 'no:cacheprovider'])
    expect(output).toMatch(/\d+ passed/)
    expect(ok, output).toBe(true)
  })
})
