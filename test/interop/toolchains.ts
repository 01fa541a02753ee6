import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Program, Toolchain } from './programs.ts'

/** How the programs of each toolchain are installed and run: in a directory of their own, never in the repository. */
export interface Ready {
  /** The words of the command that runs a program. */
  command(program: Program): readonly string[]
  readonly directory: string
}

const here = import.meta.dirname

interface Recipe {
  /** What has to be on the PATH. */
  readonly needs: readonly string[]
  /** Succeeds where the libraries of the system are at hand. */
  readonly check?: readonly string[]
  readonly install: readonly (readonly string[])[]
  command(program: Program, directory: string): readonly string[]
}

const fileOf = ({ file }: Program): string => file.split('/').at(-1) ?? ''

const recipes: Readonly<Record<Toolchain, Recipe>> = {
  curl: {
    needs: ['curl', 'sh'],
    install: [],
    command: (program, directory) => ['sh', join(directory, fileOf(program))],
  },
  node: {
    needs: ['npm'],
    install: [['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']],
    command: (program, directory) => [process.execPath, join(directory, fileOf(program))],
  },
  python: {
    needs: ['python3'],
    install: [
      ['python3', '-m', 'venv', 'venv'],
      ['venv/bin/pip', 'install', '--quiet', '--disable-pip-version-check', '-r', 'requirements.txt'],
    ],
    command: (program, directory) => [join(directory, 'venv/bin/python'), join(directory, fileOf(program))],
  },
  go: {
    needs: ['go'],
    install: [['go', 'build', '-o', 'interop', '.']],
    command: ({ command = '' }, directory) => [join(directory, 'interop'), command],
  },
  java: {
    needs: ['mvn', 'java'],
    install: [['mvn', '--quiet', '--batch-mode', 'package', 'dependency:copy-dependencies']],
    command: ({ command = '' }, directory) => [
      'java',
      `-Djavax.net.ssl.trustStore=${join(directory, 'trust.p12')}`,
      '-Djavax.net.ssl.trustStorePassword=changeit',
      '-cp',
      `${join(directory, 'target/classes')}${delimiter}${join(directory, 'target/dependency')}/*`,
      command,
    ],
  },
  rust: {
    needs: ['cargo'],
    install: [['cargo', 'build', '--quiet', '--release']],
    command: ({ command = '' }, directory) => [join(directory, 'target/release/interop'), command],
  },
  // Their registries need not be reached: the packages of the system bring the libraries.
  ruby: {
    needs: ['ruby'],
    check: ['ruby', '-r', 'oauth2', '-r', 'jwt', '-r', 'openid_connect', '-e', ''],
    install: [],
    command: (program, directory) => ['ruby', join(directory, fileOf(program))],
  },
  php: {
    needs: ['php'],
    check: ['php', '-r', 'curl_version();'],
    install: [],
    command: (program, directory) => ['php', join(directory, fileOf(program))],
  },
  perl: {
    needs: ['perl'],
    check: ['perl', '-MLWP::Protocol::https', '-MCrypt::JWT', '-e', '1'],
    install: [],
    command: (program, directory) => ['perl', join(directory, fileOf(program))],
  },
}

/** @returns undefined when the toolchain is not at hand. */
export function prepare(toolchain: Toolchain, scratch: string, certificate: string): Ready | undefined {
  const { needs, check, install, command } = recipes[toolchain]
  if (!needs.every(isAtHand)) return undefined
  if (check !== undefined && spawnSync(check[0] ?? '', check.slice(1)).status !== 0) return undefined
  const directory = join(scratch, toolchain)
  mkdirSync(directory, { recursive: true })
  cpSync(join(here, toolchain), directory, { recursive: true })
  for (const [program = '', ...words] of install) {
    const { status, stderr, stdout } = spawnSync(program, words, { cwd: directory, encoding: 'utf8' })
    if (status !== 0) throw new Error(`${program} ${words.join(' ')} failed:\n${stdout}\n${stderr}`)
  }
  if (toolchain === 'java') trustInJava(directory, certificate)
  return { directory, command: (program) => command(program, directory) }
}

function isAtHand(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)))
}

function trustInJava(directory: string, certificate: string): void {
  const store = ['-keystore', 'trust.p12', '-storepass', 'changeit', '-storetype', 'PKCS12']
  spawnSync('keytool', ['-delete', '-alias', 'interop', ...store], { cwd: directory })
  const words = ['-importcert', '-noprompt', '-alias', 'interop', '-file', certificate, ...store]
  const { status, stdout, stderr } = spawnSync('keytool', words, { cwd: directory, encoding: 'utf8' })
  if (status !== 0) throw new Error(`keytool failed:\n${stdout}${stderr}`)
}
