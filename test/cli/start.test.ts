/**
 * From nothing to a token: `start` prepares all that is missing and shows a line that works, on the first
 * start and on every later one.
 */
import { execFile, spawn } from 'node:child_process'
import { readFileSync, rmSync, statSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { freePort } from '../support/service.ts'
import { command, scratch } from './command.ts'

const files = scratch()
afterAll(() => files.remove())

const program = new URL('../../src/cli/main.ts', import.meta.url).pathname
/** A path that a careless shell line would not survive. */
const directory = files.path(`da ta's $HOME`)

async function start() {
  const port = String(await freePort())
  const environment = { MINTMARK_DATA_DIR: directory, PORT: port }
  const startedAt = performance.now()
  const child = spawn(process.execPath, [program, 'start'], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += String(chunk)
    })
  }
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)))
  while (!output.includes('jwks.json\n') && child.exitCode === null) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return {
    environment,
    output: () => output,
    milliseconds: performance.now() - startedAt,
    async paste(pattern: RegExp): Promise<string> {
      const line = output.split('\n').find((each) => pattern.test(each)) ?? 'false'
      return (await promisify(execFile)('/bin/sh', ['-c', line])).stdout
    },
    end(signal: NodeJS.Signals): Promise<unknown> {
      child.kill(signal)
      return ended
    },
  }
}

test('a first start, a second one, and one whose secret was lost', async () => {
  const first = await start()
  expect(first.output()).toContain('✓ example clients created')
  expect(statSync(`${directory}/billing.secret`).mode & 0o777).toBe(0o600)
  expect(JSON.parse(await first.paste(/curl .*\/token$/))).toMatchObject({
    token_type: 'Bearer',
    scope: 'orders:read',
  })
  expect(JSON.parse(await first.paste(/curl .*jwks\.json$/)).keys).toHaveLength(1)
  expect(first.output().split('jwks.json\n')[1]).toContain('"event":"request"')
  expect(first.output()).not.toContain(readFileSync(`${directory}/billing.secret`, 'utf8').trim())
  expect(await first.end('SIGTERM')).toBe(0)

  const second = await start()
  expect(second.output()).not.toContain('example clients')
  expect(JSON.parse(await second.paste(/curl .*\/token$/))).toMatchObject({ token_type: 'Bearer' })
  expect((await command(second.environment, 'token', 'billing', '--raw')).stdout).toMatch(/^ey/)
  expect(await second.end('SIGINT')).toBe(0)

  rmSync(`${directory}/billing.secret`)
  const third = await start()
  expect(third.output()).toContain('bin/mintmark clients secrets add billing\n')
  expect(third.output()).toContain('-u "billing:SECRET"')
  expect(await third.end('SIGTERM')).toBe(0)

  rmSync(`${directory}/key-encryption-key`)
  const fourth = await start()
  expect(fourth.output()).toMatch(
    /mintmark: .*key-encryption-key: is missing.*Nothing was generated or deleted/,
  )
  expect(await fourth.end('SIGTERM')).toBe(1)
})

test('commands bring no empty database into being', async () => {
  const outcome = await command({ MINTMARK_DATA_DIR: files.path('nothing') }, 'clients', 'list')
  expect(outcome).toMatchObject({ code: 1, stdout: '' })
  expect(outcome.stderr).toMatch(/^mintmark: There is no database in .*nothing yet\. Run "npm start"/)
})
