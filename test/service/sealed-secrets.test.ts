/** With a sealed registry, the end of a replaced secret is sealed, and whoever writes the database cannot put it off. */
import { expect } from 'vitest'
import { readLeaked, revokeLeaked } from '../../src/administration/leaked-secrets.ts'
import { rotateSecret } from '../../src/administration/rotate-secret.ts'
import { reviewRegistry } from '../../src/administration/seal-registry.ts'
import { endUnusedSecrets } from '../../src/administration/secret-watch.ts'
import { checkConnection } from '../../src/database/check.ts'
import { openDatabase } from '../../src/database/open.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { test } from '../support/fixtures.ts'
import { createResources, createTestClient, sealedContext, sealedSetting } from '../support/sealed.ts'
import { requestTokenPatiently } from '../support/service.ts'

test('a replaced secret ends when it was sealed to end, or sooner, and a leaked one at once', async ({
  startService,
  database,
  onTestFinished,
}) => {
  let running = await startService({ environment: sealedSetting })
  const opened = openDatabase(database.url)
  onTestFinished(() => opened.close())
  const context = sealedContext(opened)
  await createResources(context)
  const [first, leaked] = [
    await createTestClient(context, 'first'),
    await createTestClient(context, 'leaked'),
  ]
  const status = async (secret: string, clientId = 'first') =>
    (await requestTokenPatiently(running.url, { clientId, secret })).status

  const one = await rotateSecret(context, 'first', { overlapSeconds: 3_600 })
  expect([await status(first.secret), await status(one.secret.secret)]).toEqual([200, 200])
  expect((await reviewRegistry(context)).problems).toEqual([])
  const two = await rotateSecret(context, 'first', { overlapSeconds: 0 })
  expect([
    await status(first.secret),
    await status(one.secret.secret),
    await status(two.secret.secret),
  ]).toEqual([401, 401, 200])
  await database.query(`UPDATE client_secret SET expires_at = NULL WHERE client_id = 'first'`)
  expect([
    await status(first.secret),
    await status(one.secret.secret),
    await status(two.secret.secret),
  ]).toEqual([401, 401, 200])

  // The service ends an unused one by its row alone, which takes away and so needs no seal.
  const unused = { overlapSeconds: 86_400, unusedSeconds: 7_200 }
  const three = await rotateSecret(context, 'first', unused)
  expect(await status(two.secret.secret)).toBe(200)
  // While it runs it would note uses, and end secrets, at moments of its own.
  await running.close()
  await database.query(
    `UPDATE client_secret_use SET last_used_at = now() - interval '3 hours';
     UPDATE client_secret_overlap SET watched_since = now() - interval '3 hours'
      WHERE secret_id = '${two.secret.secretId}'`,
  )
  const ended = await endUnusedSecrets(opened.statements, systemClock, { by: 'mintmark' })
  expect(ended.map(({ secretId }) => secretId)).toEqual([two.secret.secretId])
  running = await startService({ environment: sealedSetting })
  expect([await status(two.secret.secret), await status(three.secret.secret)]).toEqual([401, 200])

  const findings = await revokeLeaked(context, readLeaked(leaked.secret), false)
  expect(findings).toEqual([expect.objectContaining({ outcome: 'revoked', clientId: 'leaked' })])
  await database.query(`UPDATE client_secret SET revoked_at = NULL WHERE client_id = 'leaked'`)
  expect(await status(leaked.secret, 'leaked')).toBe(401)
  await checkConnection(database.url, 'rights')
})
