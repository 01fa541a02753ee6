import { defineConfig } from 'vitest/config'

/** What needs a real PostgreSQL: one server for all of them, each on a database of its own. */
const real = ['test/{service,cli,database}/**/*.test.ts', 'test/**/*.real.test.ts']

// One project per cost: what is pure runs anywhere, in a second or two.
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'pure', include: ['test/**/*.test.ts'], exclude: real } },
      {
        test: {
          name: 'real',
          include: real,
          globalSetup: ['test/support/postgres.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          execArgv: ['--disable-warning=ExperimentalWarning'],
        },
      },
    ],
  },
})
