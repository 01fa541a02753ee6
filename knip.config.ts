import type { KnipConfig } from 'knip'

/** What is exported and not imported, installed and not used, or left in a file that nobody reads. */
const config: KnipConfig = {
  workspaces: {
    '.': {
      entry: [
        'src/cli/main.ts',
        'src/process/worker.ts',
        // The launcher is a script without an extension, and starts one of these as a process.
        'bin/*.js',
        // The benchmark starts these as processes of their own.
        'bench/rotation.ts',
        'bench/load/*.ts',
        'bench/peers/*.{ts,js}',
        'vitest.container.config.ts',
        // Run by hand.
        'test/vectors/make.ts',
        // Stryker starts the tests with these.
        'test/mutation/{run.js,setup.ts,vitest.config.ts}',
      ],
      project: [
        'src/**/*.ts',
        'bin/*.js',
        'bench/**/*.{ts,js}',
        'test/**/*.{ts,js}',
        'prisma/**/*.{ts,prisma}',
        '*.config.ts',
      ],
    },
    'packages/client': { project: ['src/**/*.ts', 'test/**/*.ts'] },
    'packages/embedded-postgres': { project: ['src/**/*.ts', 'test/**/*.ts'] },
    'packages/verifier': { project: ['src/**/*.ts', 'test/**/*.ts'] },
  },
  ignoreDependencies: [
    // The files that Prisma writes import it.
    '@prisma/client',
    // Installed in bench/peers, when the benchmark first needs them.
    'oidc-provider',
    '@fastify/formbody',
    '@fastify/rate-limit',
    'fast-jwt',
    // Named in the arguments of a command.
    '@stryker-mutator/core',
    '@stryker-mutator/vitest-runner',
  ],
  ignoreBinaries: [
    // The benchmark uses them where the machine has them.
    'wrk',
    'openssl',
    // So do the programs of test/interop.
    'keytool',
    // So do the tests of the examples.
    'go',
    // So do the tests of poolers and of proxies.
    'nginx',
    'pgbouncer',
  ],
  // A type that is part of an exported function's signature is exported for its readers, even if nobody names it.
  ignoreExportsUsedInFile: { interface: true, type: true },
}

export default config
