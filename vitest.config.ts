import { defineConfig } from 'vitest/config'

/** What needs a real PostgreSQL: one server for all of them, each on a database of its own. */
const real = ['test/service/**/*.test.ts', 'test/cli/**/*.test.ts', 'test/database/**/*.test.ts']

/** For tests that start processes. */
const slow = {
  testTimeout: 60_000,
  hookTimeout: 60_000,
  execArgv: ['--disable-warning=ExperimentalWarning'],
}

// One project per cost: what is pure runs anywhere, in a second or two.
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'pure', include: ['test/**/*.test.ts'], exclude: [...real, 'test/container/**'] } },
      { test: { name: 'real', include: real, globalSetup: ['test/support/postgres.ts'], ...slow } },
      // Packages know nothing of the service, so they bring what they need themselves.
      { test: { name: 'packages', include: ['packages/*/test/**/*.test.ts'], ...slow } },
    ],
  },
})
