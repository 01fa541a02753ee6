/** With a sealed registry, a change goes by what is sealed and not by what somebody wrote into the rows. */
import { expect, onTestFinished } from 'vitest'
import { applyRegistration } from '../../src/administration/apply.ts'
import { deleteClient, setClientStatus } from '../../src/administration/client-store.ts'
import { parseRegistration } from '../../src/administration/parse.ts'
import { openDatabase } from '../../src/database/open.ts'
import { test } from '../support/fixtures.ts'
import { createResources, createTestClient, sealedContext } from '../support/sealed.ts'
import { orders } from '../support/service.ts'

test('what a dry run says of a sealed registry is what is done, whatever the rows say', async ({
  database,
}) => {
  const opened = openDatabase(database.url)
  onTestFinished(() => opened.close())
  const context = sealedContext(opened)
  await createResources(context)
  await createTestClient(context, 'billing')
  await setClientStatus(context, 'billing', 'disabled')
  await database.query(`UPDATE client SET status = 'active'`)
  const { value } = parseRegistration({
    clients: [
      {
        client_id: 'billing',
        access: [{ audience: orders, scopes: ['orders:read'] }],
        token_endpoint_auth_method: 'client_secret_basic',
      },
    ],
  })
  const registration = value as NonNullable<typeof value>
  const shown = await applyRegistration(context, registration, { dryRun: true })
  const done = await applyRegistration(context, registration)
  expect(shown.plan).toEqual(done.plan)
  expect(done.plan.clients[0]?.changes).toEqual([{ field: 'status', from: 'active', to: 'disabled' }])
  // Who has no key sees what the rows say.
  await database.query(`UPDATE client SET status = 'active'`)
  const withoutKey = { ...context, sealing: { keyEncryptionKeys: () => undefined } }
  const seen = await applyRegistration(withoutKey, registration, { dryRun: true })
  expect(seen.plan.clients[0]?.status).toBe('unchanged')
})

test('a deleted client stays deleted, also if somebody who sees its changed row disables it', async ({
  database,
}) => {
  const opened = openDatabase(database.url)
  onTestFinished(() => opened.close())
  const context = sealedContext(opened)
  await createResources(context)
  await createTestClient(context, 'billing')
  await deleteClient(context, 'billing')
  await database.query(`UPDATE client SET status = 'active'`)
  await setClientStatus(context, 'billing', 'disabled')
  await expect(setClientStatus(context, 'billing', 'active')).rejects.toMatchObject({
    code: 'client_deleted',
  })
})
