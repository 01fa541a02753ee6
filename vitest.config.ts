import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { useMemory } from './test/support/memory.ts'

/** What needs a real PostgreSQL: one server for all of them, each test on a database of its own. */
const real = ['test/{service,cli,database}/**/*.test.ts', 'test/**/*.real.test.ts']

/** Other people's servers in front of the whole service: set-ups of PostgreSQL, PgBouncer, a standby. */
const peers = ['test/peers/**/*.test.ts']

/** What takes long whatever the machine: keys that rotate in real time, crashes again and again, times, dozens of processes. */
const drills = ['test/drill/**/*.test.ts']

/** Files that replace a module, which others in the same process would find replaced. */
const replacing = globSync('test/**/*.test.ts').filter((file) =>
  /^vi\.mock\(/m.test(readFileSync(file, 'utf8')),
)

/** What a process has loaded and compiled for one file serves the next ones: a third of the processor time. */
const shared = { isolate: false }

const onPostgres = {
  globalSetup: ['test/support/postgres.ts'],
  setupFiles: ['test/support/cheap-hashes.ts'],
  // Limits for what hangs. A test waits for what must come, and passes on a slow machine too.
  testTimeout: 240_000,
  hookTimeout: 240_000,
  expect: { poll: { timeout: 200_000 } },
  execArgv: ['--disable-warning=ExperimentalWarning'],
}

/** Packages of this repository are used as they stand in their source, not as they were built last. */
const source = {
  resolve: { alias: { '@mintmark/verifier': join(import.meta.dirname, 'packages/verifier/src/index.ts') } },
}

useMemory()

/** What waits longest begins first, or the whole run waits for it at the end. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const rank = ({ project }: TestSpecification) =>
      ['drill', 'peers', 'packages', 'real', 'replacing', 'pure'].indexOf(project.name)
    return sorted.toSorted((one, other) => rank(one) - rank(other))
  }
}

// One project per cost: what is pure runs anywhere, in a second or two.
export default defineConfig({
  test: {
    // More than cores, because the tests mostly wait: for keys, for processes, for the database. Each worker loads and
    // compiles everything for itself, so six take a sixth more processor time than four.
    maxWorkers: 5,
    sequence: { sequencer: LongestFirst },
    testTimeout: 120_000,
    // Code that runs in processes of its own, such as commands and workers, does not count.
    coverage: {
      include: ['src/**/*.ts'],
      exclude: ['src/generated/**'],
      reporter: ['text-summary', 'html'],
    },
    projects: [
      {
        ...source,
        test: {
          ...shared,
          name: 'pure',
          include: ['test/**/*.test.ts'],
          exclude: [...real, ...peers, ...drills, ...replacing, 'test/container/**'],
        },
      },
      { ...source, test: { ...onPostgres, ...shared, name: 'real', include: real, exclude: replacing } },
      { ...source, test: { ...onPostgres, name: 'replacing', include: replacing } },
      { test: { name: 'peers', include: peers, ...onPostgres } },
      // Once more: these keys live for seconds, and a machine that stands still for one of them proves nothing.
      { test: { name: 'drill', include: drills, ...onPostgres, testTimeout: 3_600_000, retry: 1 } },
      // Packages know nothing of the service, so they bring what they need themselves.
      {
        test: {
          ...onPostgres,
          ...shared,
          name: 'packages',
          include: ['packages/*/test/**/*.test.ts'],
          globalSetup: [],
          setupFiles: [],
        },
      },
    ],
  },
})
