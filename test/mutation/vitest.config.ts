import { defineConfig } from 'vitest/config'

/**
 * The tests by which mutations are judged: those that run in one process with what they test. What pure tests can
 * judge alone is not tried on a database as well.
 */
const unit = ['test/{token,authentication,registry,ledger,keys}/**/*.test.ts']
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

/** The nearest tests of what no test calls by itself. */
const service = {
  test: {
    ...database.test,
    name: 'service',
    include: [
      'test/service/{changes-by-hand,keys-by-hand,registry-by-hand,rows-by-hand,rotation,trust}.test.ts',
      'test/service/sealed-*.test.ts',
      'test/cli/keys*.test.ts',
    ],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A test asks again until a service has done what is due in seconds.
    expect: { poll: { timeout: 20_000 } },
  },
}

const tests = process.env['MUTATION_TESTS'] ?? 'all'

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'pure', include: unit, exclude: real, setupFiles, testTimeout: 30_000 } },
      ...(tests === 'pure' ? [] : [database]),
      ...(tests === 'service' ? [service] : []),
    ],
  },
})
