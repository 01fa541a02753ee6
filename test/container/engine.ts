import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/**
 * The container engine of this machine: docker with its compose plugin, or podman with podman-compose. The images
 * that ours is made from come from their registry, or are on this machine already. BASE_IMAGE and POSTGRES_IMAGE name
 * others.
 */
export interface Engine {
  readonly name: 'docker' | 'podman'
  /** Runs a command of the engine. */
  run(...given: readonly string[]): Outcome
  /** Runs a command on our compose file, as one project. */
  compose(...given: readonly string[]): Outcome
}

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Project {
  readonly name: string
  /** Where the compose file and what it needs are. */
  readonly directory: string
  readonly environment: Readonly<Record<string, string>>
}

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const baseImage = process.env['BASE_IMAGE'] ?? 'node:24-bookworm-slim'
const postgresImage = process.env['POSTGRES_IMAGE'] ?? 'postgres:18'

function execute(program: string, given: readonly string[], project?: Project): Outcome {
  const { status, stdout, stderr, error } = spawnSync(program, given, {
    cwd: project?.directory ?? root,
    // Podman drops health checks from images of its own format.
    env: { ...process.env, BUILDAH_FORMAT: 'docker', ...project?.environment },
    encoding: 'utf8',
    timeout: 600_000,
    maxBuffer: 64 * 1024 * 1024,
  })
  return { code: error === undefined ? status : 127, stdout: stdout ?? '', stderr: stderr ?? String(error) }
}

const works = (program: string, ...given: string[]): boolean => execute(program, given).code === 0

function engineOf(
  name: Engine['name'],
  composeProgram: readonly [string, ...string[]],
  project: Project,
): Engine {
  const [program, ...words] = composeProgram
  return {
    name,
    run: (...given) => execute(name, given),
    compose: (...given) => execute(program, [...words, '--project-name', project.name, ...given], project),
  }
}

/** @returns the engine, or what is missing for a test. */
export function findEngine(project: Project): Engine | string {
  // `docker version` fails if only the client is installed.
  const engine = works('docker', 'version')
    ? works('docker', 'compose', 'version') && engineOf('docker', ['docker', 'compose'], project)
    : works('podman', 'info') &&
      works('podman-compose', '--version') &&
      engineOf('podman', ['podman-compose'], project)
  if (engine === false) return 'no running docker with compose, and no podman with podman-compose'
  for (const image of [baseImage, postgresImage]) {
    if (!works(engine.name, 'image', 'inspect', image) && !works(engine.name, 'pull', '--quiet', image))
      return `no image ${image}, and no registry that has it`
  }
  return engine
}
