/** The ledger leaves the database as a file, and is verified where there is no database. */
import { readFileSync, writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { command } from '../support/command.ts'
import { test } from '../support/fixtures.ts'
import type { Scratch } from '../support/scratch.ts'
import { registerClient, requestToken } from '../support/service.ts'

function write(files: Scratch, name: string, text: string): string {
  writeFileSync(files.path(name), text)
  return files.path(name)
}

test('an export verifies offline, an edited one does not, and lists verify too', async ({
  database,
  files,
  run,
  service,
}) => {
  const client = await registerClient(database)
  for (let count = 0; count < 3; count += 1) await requestToken(service.url, client)
  await run('clients', 'disable', client.clientId)
  const offline = (...given: readonly string[]) => command({}, 'audit', 'verify', ...given)
  const exported = await run('audit', 'export')
  expect(exported, exported.stderr).toMatchObject({ code: 0 })
  const heads = /[0-9a-f]{64}/.exec(exported.stderr)?.[0] ?? ''
  const file = write(files, 'ledger.jsonl', exported.stdout)
  const verified = await offline(file, '--heads', heads)
  expect(verified, verified.stderr).toMatchObject({ code: 0, stderr: '' })
  expect(verified.stdout).toContain(`The heads of all chains: ${heads}`)

  const edited = write(files, 'edited.jsonl', readFileSync(file, 'utf8').replace(client.clientId, 'somebody'))
  const refused = await offline(edited)
  expect(refused).toMatchObject({ code: 1 })
  expect(refused.stdout).toMatch(/chain \d+, record \d+ was changed/)
  // Of two members with one name some readers take the first, and some the last.
  const twice = exported.stdout.replace('"client_id":', '"client_id":"somebody","client_id":')
  expect(await offline(write(files, 'twice.jsonl', twice))).toMatchObject({ code: 1 })

  const list = write(files, 'list.json', (await run('audit', 'list', '--json')).stdout)
  expect(await offline(list)).toMatchObject({ code: 0 })
  const part = write(
    files,
    'part.json',
    (await run('audit', 'list', '--client', client.clientId, '--json')).stdout,
  )
  expect(await offline(part)).toMatchObject({ code: 1 })
  expect(await offline(part, '--partial', '--json')).toMatchObject({ code: 0 })
  expect(await offline(`${part}.away`)).toMatchObject({ code: 1 })
})

test('records that were changed in the database are listed all the same, and do not verify', async ({
  database,
  files,
  run,
}) => {
  await database.query(`INSERT INTO client (client_id, name) VALUES ('ghost', 'Ghost')`)
  await run('audit', 'list')
  await database.query(`UPDATE audit_record SET detail = '{ "by": ', time = time + interval '1 day'`)
  const listed = await run('audit', 'list', '--client', 'ghost', '--json', '--until', '2100-01-01')
  expect(JSON.parse(listed.stdout)).toMatchObject([{ detail: '{ "by": ' }])
  const { code, stdout } = await run('audit', 'verify', write(files, 'list.json', listed.stdout))
  expect([code, stdout]).toEqual([1, expect.stringContaining('was changed')])
})

test('a record with a number that nothing counts to is listed and exported, and does not verify', async ({
  database,
  files,
  run,
}) => {
  await database.query(`INSERT INTO client (client_id, name) VALUES ('ghost', 'Ghost')`)
  await run('audit', 'list')
  for (const seq of ['9223372036854775807', '-9223372036854775807', '0', '-1']) {
    await database.query(`UPDATE audit_record SET seq = ${seq} WHERE client_id = 'ghost'`)
    expect(await run('audit', 'list')).toMatchObject({ code: 0, stderr: '' })
    for (const kind of [['list', '--json'], ['export']]) {
      const copy = await run('audit', ...kind)
      expect(copy, copy.stderr).toMatchObject({ code: 0 })
      const file = write(files, 'copy.jsonl', copy.stdout)
      expect([seq, kind, (await run('audit', 'verify', file)).code]).toEqual([seq, kind, 1])
    }
  }
})
