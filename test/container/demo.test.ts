/** The demo with containers, by its compose file: the same table as `npm run demo`, and its end. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type Engine, findEngine, type Outcome, root } from './engine.ts'

const name = `mintmark-demo-${randomBytes(4).toString('hex')}`
const images = { IMAGE: name, PYTHON_IMAGE: `${name}-python` }
const found = findEngine({ name, directory: root, environment: images })

describe.skipIf(typeof found === 'string')(
  `the demo with containers (${typeof found === 'string' ? found : found.name})`,
  () => {
    const engine = found as Engine
    const compose = (...words: string[]): Outcome =>
      engine.compose('--file', 'docker-compose.demo.yml', ...words)
    const ran = (outcome: Outcome): string => {
      expect(outcome.code, (outcome.stdout + outcome.stderr).slice(-4_000)).toBe(0)
      return outcome.stdout
    }
    /** The container of a service. The two tools join its name in different ways. */
    const containerOf = (service: string): string => {
      const names = ran(engine.run('ps', '--all', '--format', '{{.Names}}')).split('\n')
      return names.find((each) => new RegExp(`^${name}[-_]${service}[-_]1$`).test(each)) ?? service
    }
    const logOf = (service: string): string => {
      const { stdout, stderr } = engine.run('logs', containerOf(service))
      return stdout + stderr
    }

    afterAll(() => {
      compose('down', '--volumes')
      // The layers stay, and the next build is quick.
      engine.run('rmi', '--force', '--no-prune', ...Object.values(images))
    }, 120_000)

    test('every row is as it should be, and the last container says so', { timeout: 600_000 }, () => {
      ran(compose('build', 'machines', 'orders'))
      if (engine.name === 'docker') compose('up', '--no-build', '--exit-code-from', 'calls')
      else {
        // Podman 4 cannot start a container whose dependency has ended and has dependencies itself.
        const up = (...services: string[]) =>
          ran(compose('up', '--detach', '--no-build', '--no-deps', ...services))
        up('database', 'machines')
        ran(engine.run('wait', containerOf('machines')))
        while (engine.run('exec', containerOf('database'), 'pg_isready').code !== 0);
        up('mintmark', 'orders', 'billing', 'calls')
        ran(engine.run('wait', containerOf('calls')))
      }
      const log = logOf('calls')
      const told = ['mintmark', 'orders', 'billing'].map(logOf).join('\n')
      const code = ran(engine.run('inspect', '--format', '{{.State.ExitCode}}', containerOf('calls')))
      expect(code.trim(), `${log}\n${told}`.slice(-8_000)).toBe('0')
      const table = /^TRIED[\s\S]*?(?=\n\n)/m.exec(log)?.[0] ?? 'no table'
      expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain(`\`\`\`\n${table}\n\`\`\`\n`)
    })
  },
)
