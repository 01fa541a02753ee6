/**
 * The image and the compose file, built and run for real: the steps in their order, a token, what the containers may
 * do, what they know, and how they end.
 */

import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../support/ports.ts'
import { baseImage, type Engine, findEngine, root } from './engine.ts'

const suffix = randomBytes(4).toString('hex')
const image = `mintmark-test-${suffix}`
const port = await freePort()
// A copy, so that the secrets of this test are not those of the checkout.
const directory = mkdtempSync(join(tmpdir(), 'mintmark-container-'))
const project = {
  name: image,
  directory,
  environment: { IMAGE: image, PUBLISHED_PORT: String(port), MINTMARK_ISSUER: `http://localhost:${port}` },
}
const found = findEngine(project)
const url = `http://127.0.0.1:${port}`

/** Megabytes that the program may add to its base image. It adds 36; the databases of others would add 67 more. */
const addedMegabytesMax = 50

describe.skipIf(typeof found === 'string')(
  `containers (${typeof found === 'string' ? found : found.name})`,
  () => {
    const engine = found as Engine

    function ran(outcome: {
      readonly code: number | null
      readonly stdout: string
      readonly stderr: string
    }): string {
      expect(outcome.code, outcome.stderr.slice(-4_000)).toBe(0)
      return outcome.stdout
    }
    const inspected = (container: string, format: string): string =>
      ran(engine.run('inspect', '--format', format, container)).trim()
    const logOf = (container: string): string => {
      const { stdout, stderr } = engine.run('logs', container)
      return stdout + stderr
    }
    /** The container of a service. The two tools join its name in different ways. */
    const containerOf = (service: string): string => {
      const names = ran(engine.run('ps', '--all', '--format', '{{.Names}}')).split('\n')
      return names.find((name) => new RegExp(`^${project.name}[-_]${service}[-_]1$`).test(name)) ?? service
    }

    beforeAll(async () => {
      for (const name of copied) cpSync(join(root, name), join(directory, name), { recursive: true })
      makeSecrets()
      const builtAt = performance.now()
      ran(engine.compose('build', 'migrate'))
      const startedAt = performance.now()
      if (engine.name === 'docker') ran(engine.compose('up', '--detach', '--no-build'))
      else {
        // Podman 4 cannot start a container whose dependency has ended and has dependencies itself.
        for (const service of ['database', 'migrate', 'seed', 'mintmark']) {
          ran(engine.compose('up', '--detach', '--no-build', '--no-deps', service))
          if (['migrate', 'seed'].includes(service)) ran(engine.run('wait', containerOf(service)))
        }
      }
      while ((await fetch(`${url}/readyz`).catch(() => undefined))?.ok !== true) {
        expect(inspected(containerOf('mintmark'), '{{.State.Status}}'), logOf(containerOf('mintmark'))).toBe(
          'running',
        )
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
      const seconds = (from: number, to: number): string => ((to - from) / 1000).toFixed(1)
      console.log(
        `built in ${seconds(builtAt, startedAt)} s; from nothing to ready in ${seconds(startedAt, performance.now())} s`,
      )
    }, 600_000)

    afterAll(() => {
      engine.compose('down', '--volumes')
      // The layers stay: the demo is made from the same.
      engine.run('rmi', '--force', '--no-prune', image)
      rmSync(directory, { recursive: true, force: true })
    }, 120_000)

    test('is small', () => {
      const megabytes = (name: string): number =>
        Number(ran(engine.run('image', 'inspect', '--format', '{{.Size}}', name))) / 1e6
      const [whole, base] = [megabytes(image), megabytes(baseImage)]
      console.log(`the image has ${whole.toFixed(0)} MB, ${(whole - base).toFixed(0)} MB more than its base`)
      expect(whole - base).toBeLessThan(addedMegabytesMax)
    })

    test('migrates, then seeds, then serves', () => {
      for (const step of ['migrate', 'seed'])
        expect(inspected(containerOf(step), '{{.State.ExitCode}}'), logOf(containerOf(step))).toBe('0')
      const times = ['migrate', 'seed'].map((step) => inspected(containerOf(step), '{{.State.FinishedAt}}'))
      expect(times[0]?.slice(0, 22).localeCompare(times[1]?.slice(0, 22) ?? '')).toBeLessThanOrEqual(0)
      expect(logOf(containerOf('migrate'))).toContain('is up to date.')
    })

    test('the secrets of the example clients are in the volume and not in the log', async () => {
      const log = logOf(containerOf('seed'))
      expect(log).toContain('New secrets are in /var/lib/mintmark/new-secrets.json.')
      expect(log).not.toMatch(/mm_[0-9A-Za-z]{20}/)
      const { clients } = JSON.parse(newSecrets()) as {
        clients: { client_id: string; client_secret: string }[]
      }
      expect(clients.map((client) => client.client_id)).toContain('billing')
      for (const { client_id, client_secret } of clients) {
        const response = await fetch(`${url}/token`, {
          method: 'POST',
          headers: {
            authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}`,
          },
          body: new URLSearchParams({ grant_type: 'client_credentials' }),
        })
        // The example has a client that may call only from one network. It is known, too.
        expect(await response.text(), client_id).toMatch(/access_token|invalid_client|invalid_target/)
        if (client_id === 'billing') expect(response.status).toBe(200)
      }
    })

    /** As the compose file says at its head. */
    function newSecrets(): string {
      const path = '/var/lib/mintmark/new-secrets.json'
      return ran(engine.compose('run', '--rm', '--no-deps', '--entrypoint', 'cat', 'seed', path))
    }

    test('has no capability, no writable file and no way to more', () => {
      const container = containerOf('mintmark')
      expect(inspected(container, '{{.HostConfig.ReadonlyRootfs}}')).toBe('true')
      expect(inspected(container, '{{.Config.User}}')).toBe('node')
      const status = ran(engine.run('exec', container, 'cat', '/proc/1/status'))
      for (const kind of ['CapPrm', 'CapEff', 'CapBnd'])
        expect(status).toMatch(new RegExp(`^${kind}:\\s0+$`, 'm'))
      expect(status).toMatch(/^NoNewPrivs:\s1$/m)
      for (const path of ['/mintmark/x', '/etc/x', '/var/lib/mintmark/x'])
        expect(engine.run('exec', container, 'touch', path).code, path).not.toBe(0)
      expect(engine.run('exec', container, 'test', '-w', '/mintmark/src/cli/main.ts').code).not.toBe(0)
    })

    test('no secret is in the environment, in the image or in a log', () => {
      const secrets = ['key-encryption-key', 'database-url', 'database.env'].map((name) =>
        readFileSync(join(directory, 'secrets', name), 'utf8')
          .trim()
          .replace('POSTGRES_PASSWORD=', ''),
      )
      for (const service of ['migrate', 'seed', 'mintmark']) {
        const shown = inspected(containerOf(service), '{{json .}}') + logOf(containerOf(service))
        for (const secret of secrets) expect(shown).not.toContain(secret)
      }
      expect(ran(engine.run('history', '--no-trunc', image))).not.toMatch(/PASSWORD|postgresql:/)
      const contents = ran(
        engine.run(
          'run',
          '--rm',
          '--entrypoint',
          'find',
          image,
          '/mintmark',
          '-path',
          '*/node_modules',
          '-prune',
          '-o',
          '-print',
        ),
      )
      expect(contents).toContain('/mintmark/src/cli/main.ts')
      expect(contents).not.toMatch(/\/mintmark\/(?:\.|test|bench|docs|secrets|packages)/)
    })

    test('runs compiled code that it brings', () => {
      const debug = ['--env', 'NODE_DEBUG_NATIVE=COMPILE_CACHE']
      const { stdout, stderr } = engine.run('run', '--rm', '--read-only', ...debug, image, '--help')
      const read = (stdout + stderr).split('\n').filter((line) => line.includes('reading cache from'))
      expect(read.length).toBeGreaterThan(100)
      expect(read.filter((line) => !line.includes('success'))).toEqual([])
    })

    test('its health check says whether it is ready', () => {
      const container = containerOf('mintmark')
      const described = ran(engine.run('image', 'inspect', '--format', '{{json .}}', image))
      expect(JSON.stringify(JSON.parse(described))).toMatch(
        /"Healthcheck":\{"Test":\["CMD","node","bin\/healthy\.js"\]/i,
      )
      expect(engine.run('exec', container, 'node', 'bin/healthy.js').code).toBe(0)
      expect(engine.run('exec', '--env', 'PORT=1', container, 'node', 'bin/healthy.js').code).toBe(1)
    })

    test('a command needs no setting of the listener', () => {
      const listed = ran(
        engine.run('exec', containerOf('mintmark'), 'node', 'src/cli/main.ts', 'clients', 'list'),
      )
      expect(listed).toContain('billing')
      const help = ran(engine.run('run', '--rm', '--read-only', image, 'seed', '--help'))
      expect(help).toContain('--secrets-out FILE')
    })

    test('steps that are run again change nothing', () => {
      const before = newSecrets()
      ran(engine.compose('run', '--rm', '--no-deps', 'migrate'))
      ran(engine.compose('run', '--rm', '--no-deps', 'seed'))
      expect(newSecrets()).toBe(before)
    })

    test('SIGHUP does not end it; SIGTERM does, in order and within the grace period', async () => {
      const container = containerOf('mintmark')
      ran(engine.run('kill', '--signal', 'HUP', container))
      expect((await fetch(`${url}/readyz`)).status).toBe(200)
      ran(engine.run('stop', '--time', '20', container))
      expect(inspected(container, '{{.State.ExitCode}}')).toBe('0')
      const log = logOf(container)
      expect(log).toContain('"event":"closing"')
      expect(log).toContain('"event":"closed"')
    })
  },
)

/** What the image is made from. */
const copied = [
  'Dockerfile',
  '.dockerignore',
  'docker-compose.yml',
  'package.json',
  'package-lock.json',
  '.npmrc',
  'prisma.config.ts',
  'prisma',
  'src',
  'bin',
]

/** Runs what the head of the compose file tells a reader to run. */
function makeSecrets(): void {
  const head = readFileSync(join(directory, 'docker-compose.yml'), 'utf8').split('\nx-mintmark')[0] ?? ''
  const lines = [...head.matchAll(/^# {3}(.+)$/gm)].map(([, line]) => line ?? '')
  const commands = lines.filter((line) => !line.startsWith('docker '))
  expect(commands.length).toBe(5)
  const { status, stderr } = spawnSync('sh', ['-euc', commands.join('\n')], {
    cwd: directory,
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  expect(status).toBe(0)
}
