/** Each command asks for the settings that it uses, and for no other. */
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { certificate, privateKey } from '../support/certificate.ts'
import { command } from '../support/command.ts'
import { type FreshDatabase, freshDatabase } from '../support/database.ts'
import { commandProcess, root } from '../support/process.ts'
import { scratch } from '../support/scratch.ts'
import { registerClient } from '../support/service.ts'

const exampleFile = `${root}prisma/clients.example.yaml`

let database: FreshDatabase
let directory: ReturnType<typeof scratch>

beforeAll(async () => {
  database = await freshDatabase()
  directory = scratch()
  await registerClient(database, { clientId: 'billing' })
})

afterAll(async () => {
  directory.remove()
  await database.drop()
})

/** What the image sets, and what it lacks: no TLS, no issuer, no key, and files that this user cannot read. */
const image = () => ({
  DATABASE_URL: database.url,
  HOST: '0.0.0.0',
  PORT: '8080',
  MINTMARK_TLS_CERTIFICATE_FILE: '/absent/tls.crt',
  MINTMARK_TLS_PRIVATE_KEY_FILE: '/absent/tls.key',
  MINTMARK_SERVICE_HOST: '10.96.0.7',
  MINTMARK_PORT: 'tcp://10.96.0.7:8080',
})

describe('in an environment that is of no use to a listener', () => {
  test.each([
    ['migrate'],
    ['migrate', '--status'],
    ['seed', exampleFile],
    ['clients', 'list'],
    ['clients', 'show', 'billing'],
    ['clients', 'disable', 'billing'],
    ['clients', 'enable', 'billing'],
    ['clients', 'secrets', 'list', 'billing'],
    ['clients', 'secrets', 'add', 'billing'],
    ['resources', 'list'],
    ['keys', 'list'],
    ['audit', 'list'],
  ])('%s %s runs', async (...words) => {
    const { code, stderr } = await command(image(), ...words)
    expect(stderr).not.toMatch(/HOST|ISSUER|TLS/)
    expect(code).toBe(0)
  })

  test.each(['migrate', 'clients list', 'audit list'])(
    '%s needs no key-encryption key and no schedule',
    async (words) => {
      const environment = {
        ...image(),
        MINTMARK_KEY_ENCRYPTION_KEY_FILE: '/absent/key',
        MINTMARK_KEY_LIFETIME_SECONDS: '1',
      }
      expect(await command(environment, ...words.split(' '))).toMatchObject({ code: 0 })
    },
  )

  test('serve refuses, and so does start', async () => {
    const { DATABASE_URL } = image()
    for (const name of ['serve', 'start']) {
      const { code, stderr } = await commandProcess({ DATABASE_URL, HOST: '0.0.0.0' }, name)
      expect(code).toBe(1)
      expect(stderr).toMatch(/^(?:mintmark: )?HOST: other machines can reach 0\.0\.0\.0/m)
    }
  })

  test('variables of Node and its packages show no statement and switch off no check', async () => {
    const environment = {
      DATABASE_URL: database.url,
      DEBUG: '*',
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
    }
    expect(await commandProcess(environment, 'clients', 'list')).toMatchObject({ code: 0, stderr: '' })
    const stranger = createServer({ cert: certificate, key: privateKey }, (_request, response) =>
      response.end('{}'),
    )
    await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve))
    const url = `https://127.0.0.1:${(stranger.address() as AddressInfo).port}`
    const asked = await commandProcess(
      environment,
      'token',
      'billing',
      '--url',
      url,
      '--secret-file',
      exampleFile,
    )
    stranger.close()
    expect(asked.stderr).toMatch(/^mintmark: [^\n]* nobody vouches for here[^\n]*\n$/)
  })

  test('a mistyped setting stops every command', async () => {
    const { code, stderr } = await command({ ...image(), MINTMARK_PROT: '1' }, 'clients', 'list')
    expect(code).toBe(1)
    expect(stderr).toBe('mintmark: MINTMARK_PROT: there is no such setting; .env.example lists them all.\n')
  })
})
