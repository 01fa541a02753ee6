import { defineConfig } from 'vitest/config'

/**
 * The tests by which mutations are judged: those that run in one process with what they test. What pure tests can
 * judge alone is not tried on a database as well.
 */
const tests = ['test/{token,authentication,registry,ledger,keys}/**/*.test.ts']
const real = ['test/**/*.real.test.ts']
const setupFiles = ['test/mutation/setup.ts']

const database = {
  test: {
    name: 'real',
    include: real,
    setupFiles,
    globalSetup: ['test/support/postgres.ts'],
    // A mutation can make a test wait for ever, and is found out by this.
    testTimeout: 5_000,
    hookTimeout: 10_000,
  },
}

const isPure = process.env['MUTATION_TESTS'] === 'pure'

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'pure', include: tests, exclude: real, setupFiles, testTimeout: 30_000 } },
      ...(isPure ? [] : [database]),
    ],
  },
})
