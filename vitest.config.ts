import { defineConfig } from 'vitest/config'

// One project per cost: what is pure runs anywhere at once; what needs PostgreSQL shares one server.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'pure',
          include: ['test/**/*.test.ts'],
          exclude: ['test/service/**', 'test/cli/**', 'test/database/**', 'test/ledger/commit.test.ts'],
        },
      },
      {
        test: {
          name: 'real',
          include: [
            'test/service/**/*.test.ts',
            'test/cli/**/*.test.ts',
            'test/database/**/*.test.ts',
            'test/ledger/commit.test.ts',
          ],
          globalSetup: ['test/support/postgres.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})
