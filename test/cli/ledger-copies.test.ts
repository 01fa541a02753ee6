/** What "audit compare" makes of a copy of the ledger: by which clock, and as far as the copy goes. */
import { writeFileSync } from 'node:fs'
import { expect, vi } from 'vitest'
import { systemClock } from '../../src/lib/clock.ts'
import { succeeding } from '../support/command.ts'
import { sharedTest } from '../support/fixtures.ts'

const test = sharedTest

test('what came back is found by the clock of the database', async ({ database, files, run }) => {
  const ran = succeeding(run)
  const created = JSON.parse(await ran('clients', 'create', 'late', '--secret-expires-in', '1h', '--json'))
  await ran('clients', 'secrets', 'revoke', 'late', created.secret_id)
  writeFileSync(files.path('copy.json'), await ran('audit', 'list', '--limit', '10000', '--json'))
  const ended = (revoked: string) =>
    database.query(`UPDATE client_secret SET revoked_at = ${revoked} WHERE client_id = 'late'`)
  await ended('NULL')
  const ahead = vi.spyOn(systemClock, 'nowSeconds').mockReturnValue(Date.now() / 1000 + 7_200)
  const compared = await run('audit', 'compare', files.path('copy.json'), '--json')
  ahead.mockRestore()
  await ended('now()')
  expect(JSON.parse(compared.stdout).came_back).toMatchObject([
    { kind: 'secret_alive', client_id: 'late', secret_id: created.secret_id },
  ])
})

test('a copy that was cut off is compared as far as it goes, and is never called whole', async ({
  database,
  files,
  run,
}) => {
  const ran = succeeding(run)
  await ran('clients', 'create', 'cut')
  const exported = (await ran('audit', 'export')).trimEnd().split('\n')
  const { cursor: _, ...record } = JSON.parse(await ran('audit', 'list', '--limit', '1', '--json'))[0]
  const line = JSON.stringify(record)
  await database.query(`UPDATE client SET status = 'disabled' WHERE client_id = 'cut'`)
  const compared = async (text: string, ...more: string[]) => {
    writeFileSync(files.path('copy.json'), text)
    return await run('audit', 'compare', files.path('copy.json'), ...more)
  }
  expect(await compared(exported.join('\n'))).toMatchObject({ code: 0 })
  // At the end of a line, and in the middle of one.
  for (const text of [exported.slice(0, -1).join('\n'), exported.join('\n').slice(0, -10)])
    expect(await compared(text)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/the export is cut off/),
    })
  const half = await compared(`${line}\n${line.slice(0, 50)}`, '--json')
  expect(half).toMatchObject({ code: 1, stderr: expect.stringMatching(/line 2 is cut off\. What was taken/) })
  expect(JSON.parse(half.stdout)).toEqual({ came_back: [], complete: false })
  const listed = await ran('audit', 'list', '--limit', '10000', '--json')
  for (const text of [listed.slice(0, -20), listed.trimEnd().slice(0, -1)])
    expect(await compared(text)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/nothing came back\..*\n.*the list is cut off/),
    })
  // What is broken and goes on was not cut off.
  for (const text of [`${line}\n${line.slice(0, 50)}\n${line}`, line.slice(0, 50)])
    expect(await compared(text)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/is not JSON in line/),
    })
})
