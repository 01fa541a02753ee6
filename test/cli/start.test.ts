/**
 * From nothing to a token: `start` prepares all that is missing and shows a line that works, on the first
 * start and on every later one.
 */
import { readFileSync, rmSync, statSync } from 'node:fs'
import { expect } from 'vitest'
import { test as base } from '../support/fixtures.ts'
import { commandProcess, start as startProgram, startServiceProcess } from '../support/process.ts'

const test = base
  /** A path that a careless shell line would not survive. */
  .extend('directory', ({ files }) => files.path(`da ta's $HOME`))
  /** Runs `start` until it has said all that it says, or has ended. */
  .extend('start', ({ directory, track }) => {
    return async () => {
      const environment = { MINTMARK_DATA_DIR: directory }
      const service = track(await startServiceProcess(['start'], { environment }))
      const isReady = service.until(() => service.output().includes('jwks.json\n'))
      await Promise.race([isReady, service.outcome])
      isReady.catch(() => {})
      return {
        ...service,
        environment: { ...environment, PORT: new URL(service.url).port },
        async paste(pattern: RegExp): Promise<string> {
          const line =
            service
              .output()
              .split('\n')
              .find((each) => pattern.test(each)) ?? 'false'
          return (await track(startProgram('/bin/sh', ['-c', line])).outcome).stdout
        },
      }
    }
  })

test('a first start, a second one, and one whose secret was lost', async ({ directory, start }) => {
  const first = await start()
  expect(first.output()).toContain('✓ example clients created')
  expect(statSync(`${directory}/billing.secret`).mode & 0o777).toBe(0o600)
  expect(JSON.parse(await first.paste(/curl .*\/token$/))).toMatchObject({
    token_type: 'Bearer',
    scope: 'orders:read',
  })
  expect(JSON.parse(await first.paste(/curl .*jwks\.json$/)).keys).toHaveLength(1)
  await first.until(() => first.output().split('jwks.json\n')[1]?.includes('"event":"request"') === true)
  expect(first.output()).not.toContain(readFileSync(`${directory}/billing.secret`, 'utf8').trim())
  expect(await first.end('SIGTERM')).toBe(0)

  const second = await start()
  expect(second.output()).not.toContain('example clients')
  expect(JSON.parse(await second.paste(/curl .*\/token$/))).toMatchObject({ token_type: 'Bearer' })
  expect((await commandProcess(second.environment, 'token', 'billing', '--raw')).stdout).toMatch(/^ey/)
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
  expect(await fourth.ended).toBe(1)
})

test('commands bring no empty database into being', async ({ files }) => {
  const outcome = await commandProcess({ MINTMARK_DATA_DIR: files.path('nothing') }, 'clients', 'list')
  expect(outcome).toMatchObject({ code: 1, stdout: '' })
  expect(outcome.stderr).toMatch(/^mintmark: There is no database in .*nothing yet\. Run "npm start"/)
})
