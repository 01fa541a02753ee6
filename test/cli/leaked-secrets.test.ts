/** A secret has leaked: whoever finds it revokes it, without knowing whose it is. */
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { makeSecret } from '../../src/authentication/secret.ts'
import { commandWithInput, succeeding } from '../support/command.ts'
import { sharedTest } from '../support/fixtures.ts'
import { orders, registerClient, requestTokenPatiently, startService } from '../support/service.ts'

const test = sharedTest.extend('service', { scope: 'file' }, async ({ database }, { onCleanup }) => {
  const service = await startService({ database })
  onCleanup(() => service.close())
  return service
})

const statusOf = async (url: string, clientId: string, secret: string): Promise<number> =>
  (await requestTokenPatiently(url, { clientId, secret }, { resource: orders })).status

describe('clients secrets revoke --leaked', () => {
  test('needs no name, and finds out whose the secret is', async ({ database, service }) => {
    const client = await registerClient(database)
    const revoke = (...options: string[]) =>
      commandWithInput(
        { DATABASE_URL: database.url },
        `${client.secret}\n`,
        ...['clients', 'secrets', 'revoke', '--leaked', ...options],
      )
    const dry = await revoke('--dry-run')
    expect(dry.stdout).toBe(`mm_${client.secretId}… of ${client.clientId} would be revoked.\n`)
    expect(await statusOf(service.url, client.clientId, client.secret)).toBe(200)
    const done = await revoke('--json')
    expect(JSON.parse(done.stdout)).toMatchObject({ outcome: 'revoked', client_id: client.clientId })
    expect(await statusOf(service.url, client.clientId, client.secret)).toBe(401)
    const [record] = await database.query<{ outcome: string; detail: string }>(
      `SELECT outcome, detail FROM audit_record WHERE type = 'secret' AND credential_id = $1`,
      [client.secretId],
    )
    expect(record?.outcome).toBe('revoked')
    expect(JSON.parse(record?.detail ?? '')).toMatchObject({ because: 'leaked' })
    const again = await revoke()
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('was already revoked') })
    for (const { stdout, stderr } of [dry, done, again]) expect(stdout + stderr).not.toContain(client.secret)
  })

  test('of a made-up secret with the id of a right one revokes nothing', async ({ database }) => {
    const client = await registerClient(database)
    // The right id and a right checksum: whoever has seen the ledger can make one.
    const made = makeSecret(randomBytes)
    await database.query('UPDATE client_secret SET secret_id = $1 WHERE secret_id = $2', [
      made.secretId,
      client.secretId,
    ])
    const { code, stdout } = await commandWithInput(
      { DATABASE_URL: database.url },
      made.secret,
      ...['clients', 'secrets', 'revoke', '--leaked'],
    )
    expect({ code, stdout }).toEqual({ code: 3, stdout: expect.stringContaining('nothing was revoked') })
    const rows = await database.query('SELECT revoked_at FROM client_secret WHERE secret_id = $1', [
      made.secretId,
    ])
    expect(rows).toEqual([{ revoked_at: null }])
  })

  test('a file of many: each line says what was found, and no secret', async ({
    database,
    files,
    run,
    service,
  }) => {
    const ran = succeeding(run)
    const [live, other, gone, deleted] = [
      await registerClient(database),
      await registerClient(database),
      await registerClient(database),
      await registerClient(database),
    ]
    await ran('clients', 'secrets', 'revoke', gone.clientId, gone.secretId)
    await ran('clients', 'delete', deleted.clientId, '--yes')
    const unknown = makeSecret(randomBytes)
    const lines = [
      `client_secret: ${live.secret}`,
      gone.secret,
      deleted.secret,
      unknown.secret,
      other.secret.slice(0, 20),
      'hunter2',
      live.secret,
    ]
    writeFileSync(files.path('leaked.txt'), lines.join('\n'))
    const call = ['clients', 'secrets', 'revoke', '--leaked-file', files.path('leaked.txt'), '--json']
    const outcomes = async (...more: string[]) =>
      JSON.parse(await ran(...call, ...more)).lines.map((each: Record<string, unknown>) => [
        each['line'],
        each['outcome'],
        each['client_id'],
      ])
    const rest = [
      [2, 'already_revoked', gone.clientId],
      [3, 'already_revoked', deleted.clientId],
      [4, 'unknown', null],
      [5, 'malformed', other.clientId],
      [6, 'malformed', null],
    ]
    expect(await outcomes('--dry-run')).toEqual([
      [1, 'to_revoke', live.clientId],
      ...rest,
      [7, 'to_revoke', live.clientId],
    ])
    expect(await statusOf(service.url, live.clientId, live.secret)).toBe(200)
    expect(await outcomes()).toEqual([
      [1, 'revoked', live.clientId],
      ...rest,
      [7, 'already_revoked', live.clientId],
    ])
    expect(await statusOf(service.url, live.clientId, live.secret)).toBe(401)
    expect(await statusOf(service.url, other.clientId, other.secret)).toBe(200)
    const shown = await run(...call.slice(0, -1))
    for (const line of lines.slice(0, 4)) expect(shown.stdout + shown.stderr).not.toContain(line.slice(-30))
    expect(shown.stdout).toContain('the client is deleted')
    expect(shown.stderr).toContain('0 secrets revoked, 4 revoked before, 3 not known here.')
  })

  test.each([
    ['', ['--leaked'], 'standard input is empty'],
    ['a\nb\n', ['--leaked'], 'Use --leaked-file -'],
    ['a', ['--leaked', 'billing'], 'need no CLIENT'],
    ['a', ['--leaked', '--leaked-file', '-'], 'not with --leaked-file'],
    ['', ['billing'], 'say which secret'],
    ['', ['billing', 'k3v9x2ab', '--dry-run'], '--dry-run: only with'],
  ])('is refused when it is called wrongly: %j %j', async (input, options, says) => {
    const { code, stderr } = await commandWithInput({}, input, 'clients', 'secrets', 'revoke', ...options)
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(says) })
  })
})
