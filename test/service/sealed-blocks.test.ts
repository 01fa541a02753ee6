/** Blocked workloads with a sealed registry: what hands may do to their rows, on two replicas and after a restart. */
import { expect } from 'vitest'
import { applyRegistration } from '../../src/administration/apply.ts'
import { parseRegistration } from '../../src/administration/parse.ts'
import { reviewRegistry, sealRegistry } from '../../src/administration/seal-registry.ts'
import { blockWorkload, unblockWorkload } from '../../src/administration/workload-store.ts'
import { blocksSubject } from '../../src/registry/blocks-statement.ts'
import { workloadId } from '../../src/registry/issuer.ts'
import { leafOf } from '../../src/registry/seal-tree.ts'
import { command } from '../support/command.ts'
import { test } from '../support/fixtures.ts'
import { kubernetes, publishedKeys, tokenOf } from '../support/platforms.ts'
import { createResources, createTestClient, sealedContext, sealedSetting } from '../support/sealed.ts'
import { orders, patiently, type TestService, testKey } from '../support/service.ts'

const issuer = 'https://tokens.example.com'
const environment = {
  ...sealedSetting,
  MINTMARK_ISSUER: issuer,
  MINTMARK_FAILURES_PER_CLIENT_MAX: '1000',
  MINTMARK_FAILURES_PER_ADDRESS_MAX: '1000',
}
const accounts = 'system:serviceaccount:payments:'
const [api, worker] = [`${accounts}api`, `${accounts}worker`]
const idOf = (subject: string) => workloadId(kubernetes.issuer, subject)

async function trustCluster({ service }: TestService) {
  const context = sealedContext(service.database)
  await createResources(context)
  await createTestClient(context, 'billing', { tokenEndpointAuthMethod: 'federated_jwt' })
  const { value } = parseRegistration({
    trust: [
      {
        issuer: kubernetes.issuer,
        jwks: publishedKeys(kubernetes),
        rules: [
          {
            rule: 'payments',
            conditions: [{ claim: 'sub', prefix: accounts }],
            access: [{ audience: orders, scopes: ['orders:read'] }],
          },
          {
            rule: 'billing',
            conditions: [{ claim: 'sub', equals: 'system:serviceaccount:billing:api' }],
            client_id: 'billing',
          },
        ],
      },
    ],
  })
  await applyRegistration(context, value as NonNullable<typeof value>)
  return context
}

async function ask({ url }: TestService, sub: string): Promise<number> {
  const { status } = await patiently(() => {
    const assertion = tokenOf(kubernetes, issuer, { claims: { sub } })
    const form = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }
    return fetch(`${url}/token`, { method: 'POST', body: new URLSearchParams(form) })
  })
  return status
}

test('a block whose row is deleted by hand still blocks: on every replica, after a restart, until it is unblocked', async ({
  startService,
  database,
}) => {
  const first = await startService({ environment })
  const second = await startService({ environment })
  const context = await trustCluster(first)
  const answers = async (subject: string, ...more: TestService[]) =>
    await Promise.all([first, second, ...more].map((service) => ask(service, subject)))
  expect(await answers(api)).toEqual([200, 200])

  expect(await blockWorkload(context, idOf(api))).toBe(true)
  expect(await answers(api)).toEqual([400, 400])
  await database.query('DELETE FROM blocked_workload')
  expect(await answers(api)).toEqual([400, 400])
  expect(await ask(await startService({ environment }), api)).toBe(400)
  expect(await answers(worker)).toEqual([200, 200])
  expect(first.log()).toContain(`workload ${idOf(api)}: unblocked`)

  // One by hand counts too: it takes away.
  await database.query('INSERT INTO blocked_workload (workload_id) VALUES ($1)', [idOf(worker)])
  expect(await answers(worker)).toEqual([400, 400])
  expect(await unblockWorkload(context, idOf(worker))).toBe(true)
  expect(await answers(worker)).toEqual([200, 200])

  // The row of this one is gone. The command unblocks it all the same, and leaves a record.
  expect(await unblockWorkload(context, idOf(api))).toBe(true)
  expect(await unblockWorkload(context, idOf(api))).toBe(false)
  expect(await answers(api)).toEqual([200, 200])
  const records = await database.query<{ outcome: string }>(
    `SELECT outcome FROM audit_record WHERE type = 'workload' AND outcome <> 'changed by hand' ORDER BY chain, seq`,
  )
  expect(records.map(({ outcome }) => outcome)).toEqual(['blocked', 'unblocked', 'unblocked'])
  expect((await reviewRegistry(context)).problems).toEqual([])
})

test('whoever damages the statement of the blocks, or puts an old one back, unblocks nobody', async ({
  startService,
  database,
}) => {
  const running = await startService({ environment })
  const context = await trustCluster(running)
  await blockWorkload(context, idOf(worker))
  const leaf = leafOf(...blocksSubject)
  const before = await database.query<{ node: string; content: string }>('SELECT * FROM sealed_registry_node')
  const [head] = await database.query<Record<string, unknown>>('SELECT * FROM sealed_registry_head')
  await blockWorkload(context, idOf(api))
  const sealed = await database.query<{ node: string; content: string }>('SELECT * FROM sealed_registry_node')
  const put = async (rows: typeof before) => {
    await database.query('DELETE FROM sealed_registry_node')
    for (const { node, content } of rows)
      await database.query('INSERT INTO sealed_registry_node (node, content) VALUES ($1, $2)', [
        node,
        content,
      ])
    // Whoever writes the tree by hand has the table read again like this.
    await database.query(`UPDATE resource SET name = name || '.'`)
  }
  await database.query('DELETE FROM blocked_workload')
  expect(await ask(running, api)).toBe(400)
  // Nobody can tell who is blocked, so no workload gets anything. Registered clients do.
  await put(sealed.filter(({ node }) => node !== leaf))
  expect([await ask(running, api), await ask(running, `${accounts}other`)]).toEqual([400, 400])
  expect(await ask(running, 'system:serviceaccount:billing:api')).toBe(200)
  expect(running.log()).toContain('workload blocked: tree_damaged')
  expect((await reviewRegistry(context)).problems).toEqual([
    { subject: 'workload', id: 'blocked', differences: ['tree_damaged'] },
  ])
  await put(before)
  expect(await ask(running, api)).toBe(400)
  await put(sealed)
  expect([await ask(running, api), await ask(running, `${accounts}other`)]).toEqual([400, 200])
  // Nor does the whole seal of an earlier moment: the ledger's record of the block knows a later one.
  await put(before)
  await database.query(
    'UPDATE sealed_registry_head SET number = $1, key_encryption_key_id = $2, content = $3, mac = $4',
    [head?.['number'], head?.['key_encryption_key_id'], head?.['content'], head?.['mac']],
  )
  expect(await ask(running, api)).toBe(400)
  await expect(startService({ environment })).rejects.toMatchObject({ code: 'registry_seal_older' })
})

test('in a registry that an earlier release sealed, blocks are only rows until a workload is blocked or everything is sealed', async ({
  startService,
  database,
}) => {
  const running = await startService({ environment })
  const context = await trustCluster(running)
  // As an earlier release blocked it: nothing is sealed.
  const blockAsBefore = () =>
    database.query('INSERT INTO blocked_workload (workload_id) VALUES ($1)', [idOf(api)])
  const unblockByHand = () => database.query('DELETE FROM blocked_workload')
  await blockAsBefore()
  expect(await ask(running, api)).toBe(400)
  expect((await reviewRegistry(context)).problems).toEqual([])
  await unblockByHand()
  expect(await ask(running, api)).toBe(200)

  // The first block seals those that stand there.
  await blockAsBefore()
  await blockWorkload(context, idOf(worker))
  await unblockByHand()
  expect([await ask(running, api), await ask(running, worker)]).toEqual([400, 400])

  const run = (...given: readonly string[]) =>
    command(
      {
        DATABASE_URL: database.url,
        MINTMARK_KEY_ENCRYPTION_KEY: testKey.toString('base64'),
        ...sealedSetting,
      },
      ...given,
    )
  const listed = JSON.parse((await run('trust', 'workloads', '--json')).stdout) as {
    workloads: { workload_id: string; blocked: boolean; blocked_at: string | null }[]
  }
  expect(listed.workloads).toContainEqual(
    expect.objectContaining({ workload_id: idOf(worker), blocked: true, blocked_at: null }),
  )
  const dry = await run('registry', 'seal', '--dry-run')
  expect(dry.stderr.split('\n').filter((line) => line.startsWith('  '))).toEqual(
    [api, worker].map((subject) => `  workload ${idOf(subject)}: unblocked`).toSorted(),
  )
  // Whoever seals it as it stands unblocks them. From then on the rows that stand there are sealed.
  await sealRegistry(context, await reviewRegistry(context))
  expect([await ask(running, api), await ask(running, worker)]).toEqual([200, 200])
  await blockAsBefore()
  expect(await reviewRegistry(context)).toMatchObject({ problems: [], lessened: 1 })
  await sealRegistry(context, await reviewRegistry(context))
  await unblockByHand()
  expect(await ask(running, api)).toBe(400)
})
