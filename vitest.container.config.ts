import { defineConfig } from 'vitest/config'

/** `npm run container`. Not among the other tests: it builds an image, which takes a minute and a registry. */
export default defineConfig({
  test: {
    name: 'container',
    include: ['test/container/**/*.test.ts'],
    // Both files build the same image. The second one finds it made.
    fileParallelism: false,
    testTimeout: 120_000,
    execArgv: ['--disable-warning=ExperimentalWarning'],
  },
})
