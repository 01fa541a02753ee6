import { randomInt } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { applyRegistration } from '../../src/administration/apply.ts'
import { deleteClient, findClient, setClientStatus } from '../../src/administration/client-store.ts'
import { createResource, deleteResource, updateResource } from '../../src/administration/resource-store.ts'
import { reviewRegistry, sealRegistry } from '../../src/administration/seal-registry.ts'
import { addSecret, revokeSecret } from '../../src/administration/secret-store.ts'
import { granting, removing, updateClient } from '../../src/administration/update.ts'
import { generateSecret } from '../../src/authentication/secret-hash.ts'
import { rewrap } from '../../src/keys/rewrap.ts'
import { keyEncryptionKey } from '../../src/keys/seal.ts'
import type { FreshDatabase } from '../support/database.ts'
import { test } from '../support/fixtures.ts'
import { usual } from '../support/rotation.ts'
import { createResources, createTestClient, sealedContext, sealedSetting } from '../support/sealed.ts'
import {
  invoices,
  orders,
  registerClient,
  requestToken,
  startService,
  type TestClient,
  type TestService,
  testKey,
} from '../support/service.ts'

/**
 * Somebody can write the database and has no key-encryption key. With a sealed registry nothing that they write makes a
 * token that there was not before, and everything that takes away counts at once.
 *
 * Long because every change that somebody can make by hand is tried.
 */

let running: TestService
let context: ReturnType<typeof sealedContext>
let neighbour: TestClient
let names = 0

beforeAll(async () => {
  running = await startService({ environment: sealedSetting })
  context = sealedContext(running.service.database)
  await createResources(context)
  neighbour = await createTestClient(context, 'neighbour')
})

afterAll(() => running.close())

const newClient = (more: Parameters<typeof createTestClient>[2] = {}): Promise<TestClient> => {
  names += 1
  return createTestClient(context, `client-${names}`, more)
}

const sql = (text: string, values: unknown[] = []) => running.database.query(text, values)

/** What a request gets: the claims and the header that matter, or why it was refused. */
async function answer(
  client: TestClient,
  parameters: Record<string, string> = {},
  service: TestService = running,
): Promise<string> {
  const response = await requestToken(service.url, client, parameters)
  // Said where the database was late: nothing was decided.
  if (response.status === 503) return await answer(client, parameters, service)
  if (response.status === 200) {
    const token = ((await response.json()) as { access_token: string }).access_token
    const { aud, scope, exp = 0, iat = 0 } = decodeJwt(token)
    const { alg, typ } = decodeProtectedHeader(token)
    return `${aud} [${scope}] ${exp - iat} ${alg} ${typ}`
  }
  const [row] = await service.database.query<{ reason: string }>(
    'SELECT reason FROM audit_record WHERE client_id = $1 AND reason IS NOT NULL ORDER BY chain DESC, seq DESC LIMIT 1',
    [client.clientId],
  )
  return row?.reason ?? `${response.status}`
}

const usualAnswer = `${orders} [orders:read] 300 ES256 at+jwt`

const readiness = async (service = running): Promise<{ status: number; warnings?: string[] }> => {
  const response = await fetch(`${service.url}/readyz`)
  return { ...((await response.json()) as { warnings?: string[] }), status: response.status }
}

/** Everything that somebody can make of a row that gives something. */
const giving: [string, string, string, string?, Record<string, string>?][] = [
  ['more scopes', `UPDATE access SET scopes = '{orders:read,orders:write}' WHERE client_id = $1`, 'access'],
  [
    'a longer list of scopes asked for',
    `UPDATE access SET scopes = '{orders:read,orders:write}' WHERE client_id = $1`,
    'access',
    'scope_not_granted',
    { scope: 'orders:write' },
  ],
  [
    'access to another resource',
    `INSERT INTO access (client_id, audience, scopes) VALUES ($1, '${invoices}', '{invoices:read}')`,
    'access',
    'target_not_granted',
    { resource: invoices },
  ],
  [
    'access that moves to another resource',
    `UPDATE access SET audience = '${invoices}', scopes = '{invoices:read}' WHERE client_id = $1`,
    'access',
    'client_without_access',
  ],
  [
    'another way to authenticate',
    `UPDATE client SET token_endpoint_auth_method = 'client_secret_post' WHERE client_id = $1`,
    'token_endpoint_auth_method',
    'registration_unsealed',
  ],
  [
    'any way to authenticate',
    'UPDATE client SET token_endpoint_auth_method = NULL WHERE client_id = $1',
    'token_endpoint_auth_method',
  ],
]

describe('what gives, gives nothing', () => {
  test.for(giving)('%s', async ([, statement, difference, expected = usualAnswer, parameters = {}]) => {
    const client = await newClient()
    expect(await answer(client)).toBe(usualAnswer)
    await sql(statement, [client.clientId])
    expect(await answer(client, parameters)).toBe(expected)
    expect(await answer(neighbour)).toBe(usualAnswer)
    await expect.poll(() => running.log()).toContain(`client ${client.clientId}: ${difference}`)
    await expect.poll(() => readiness()).toMatchObject({ status: 200, warnings: ['registry_unsealed'] })
  })

  test('a client and its secret, made by hand', async () => {
    const client = await registerClient(running.database, { clientId: 'made-by-hand' })
    expect(await answer(client)).toBe('registration_unsealed')
    await expect.poll(() => running.log()).toContain('client made-by-hand: unregistered')
  })

  test('another secret, another hash, a later end, the secret of another client', async () => {
    const client = await newClient()
    const made = await generateSecret()
    const withMade = { ...client, secretId: made.secretId, secret: made.secret }
    await sql('INSERT INTO client_secret (secret_id, client_id, hash, hint) VALUES ($1, $2, $3, $4)', [
      made.secretId,
      client.clientId,
      made.hash,
      made.hint,
    ])
    expect([await answer(withMade), await answer(client)]).toEqual(['secret_wrong', usualAnswer])
    await expect.poll(() => running.log()).toContain(`client ${client.clientId}: secret ${made.secretId}`)

    // The attacker knows this secret, with the id of one that is registered.
    const named = { ...client, secret: client.secret.slice(0, 3) }
    expect(named.secret).toBe('mm_')
    await sql('UPDATE client_secret SET hash = $1 WHERE secret_id = $2', [made.hash, client.secretId])
    expect(await answer(client)).toBe('client_has_no_secret')

    const other = await newClient()
    const moved = { ...neighbour, clientId: other.clientId }
    await sql('UPDATE client_secret SET client_id = $1 WHERE secret_id = $2', [
      other.clientId,
      neighbour.secretId,
    ])
    expect(await answer(moved)).toBe('secret_wrong')
    await sql('UPDATE client_secret SET client_id = $1 WHERE secret_id = $2', [
      neighbour.clientId,
      neighbour.secretId,
    ])
    expect(await answer(neighbour)).toBe(usualAnswer)
  })

  test('an end that is moved, of a client and of a secret', async () => {
    const over = Math.floor(Date.now() / 1000) - 5
    const client = await newClient({ expiresAt: over })
    await sql('UPDATE client SET expires_at = NULL WHERE client_id = $1', [client.clientId])
    expect(await answer(client)).toBe('client_expired')
    const { secret } = await addSecret(context, neighbour.clientId, { expiresAt: over })
    await sql('UPDATE client_secret SET expires_at = NULL WHERE secret_id = $1', [secret.secretId])
    expect(await answer({ ...neighbour, ...secret })).toBe('secret_expired')
    await revokeSecret(context, neighbour.clientId, secret.secretId)
  })

  test('networks that are widened', async () => {
    const client = await newClient({ allowedNetworks: ['192.0.2.0/24'] })
    const set = (networks: string) =>
      sql('UPDATE client SET allowed_networks = $2 WHERE client_id = $1', [client.clientId, networks])
    await set('{192.0.2.0/24,127.0.0.0/8}')
    expect(await answer(client)).toBe('network_not_allowed')
    await set('{}')
    expect(await answer(client)).toBe('network_not_allowed')
    await set('{127.0.0.0/8}')
    expect(await answer(client)).toBe('registration_unsealed')
  })

  test('claims of a client or a resource, and the subject of tokens for somebody else', async () => {
    const audience = 'cloud'
    await createResource(context, {
      audience,
      external: true,
      signing_algorithm: 'ES256',
      subject_form: 'system:client:{client_id}',
      claims: { environment: 'test' },
    })
    const client = await newClient({ access: [{ audience, scopes: [] }], claims: { tenant: 'acme' } })
    const said = async () => {
      const response = await requestToken(running.url, client)
      const { access_token: token } = (await response.json()) as { access_token?: string }
      return token === undefined ? undefined : decodeJwt(token)
    }
    const claims = { tenant: 'acme', environment: 'test', sub: `system:client:${client.clientId}` }
    expect(await said()).toMatchObject(claims)
    const changes = [
      ['client', 'client_id', `claims = '{"tenant": "other"}'`, `claims = '{"tenant": "acme"}'`],
      ['client', 'client_id', 'claims = NULL', `claims = '{"tenant": "acme"}'`],
      [
        'resource',
        'audience',
        `claims = '{"environment": "production"}'`,
        `claims = '{"environment": "test"}'`,
      ],
      ['resource', 'audience', `claims = '{"iss": "x"}'`, `claims = '{"environment": "test"}'`],
      [
        'resource',
        'audience',
        `subject_form = 'admin:{client_id}'`,
        `subject_form = 'system:client:{client_id}'`,
      ],
      ['resource', 'audience', 'subject_form = NULL', `subject_form = 'system:client:{client_id}'`],
    ] as const
    for (const [table, column, change, back] of changes) {
      const id = table === 'client' ? client.clientId : audience
      await sql(`UPDATE ${table} SET ${change} WHERE ${column} = $1`, [id])
      expect(await said(), change).toBeUndefined()
      await sql(`UPDATE ${table} SET ${back} WHERE ${column} = $1`, [id])
      expect(await said(), back).toMatchObject(claims)
    }
    // A command goes on from what was registered, whatever the rows say meanwhile.
    await sql(`UPDATE client SET claims = '{"tenant": "other"}' WHERE client_id = $1`, [client.clientId])
    await sql(`UPDATE resource SET claims = NULL WHERE audience = $1`, [audience])
    await updateClient(context, client.clientId, (words) => ({ ...words, name: 'Another' }))
    await updateResource(context, audience, (words) => ({ ...words, name: 'Another' }))
    expect(await said()).toMatchObject(claims)
  })

  test('a resource with more scopes, a longer lifetime, another algorithm or type, or made by hand', async () => {
    const audience = 'urn:altered'
    await applyRegistration(context, {
      resources: [
        {
          audience,
          name: 'Altered',
          scopes: ['a', 'b'],
          tokenLifetimeSeconds: 30,
          signingAlgorithm: 'ES256',
          tokenTyp: 'at+jwt',
        },
      ],
      clients: [],
    })
    const client = await newClient({ access: [{ audience, scopes: ['a', 'b'] }] })
    await sql(
      `UPDATE resource SET token_lifetime_seconds = 86400, scopes = scopes || '{c}' WHERE audience = $1`,
      [audience],
    )
    expect(await answer(client)).toBe(`${audience} [a b] 30 ES256 at+jwt`)
    await expect.poll(() => running.log()).toContain(`resource ${audience}: scopes, token_lifetime_seconds`)
    for (const change of [`signing_algorithm = 'RS256'`, `token_typ = 'JWT'`]) {
      await sql(`UPDATE resource SET ${change} WHERE audience = $1`, [audience])
      expect(await answer(client), change).toBe('target_not_granted')
      await sql(
        `UPDATE resource SET signing_algorithm = 'ES256', token_typ = 'at+jwt', token_lifetime_seconds = 20
          WHERE audience = $1`,
        [audience],
      )
      // Also for a client that stayed in memory meanwhile.
      expect(await answer(client), 'and a shorter lifetime counts').toBe(`${audience} [a b] 20 ES256 at+jwt`)
    }
    await sql(`INSERT INTO resource (audience, name, scopes) VALUES ('urn:new', 'New', '{a}')`)
    await sql(`INSERT INTO access (client_id, audience, scopes) VALUES ($1, 'urn:new', '{a}')`, [
      client.clientId,
    ])
    expect(await answer(client, { audience: 'urn:new' })).toBe('target_not_granted')
  })
})

describe('what takes away counts at once, and undoing it by hand gives no more than before', () => {
  const taking: [string, string, string][] = [
    ['disabled', `UPDATE client SET status = 'disabled' WHERE client_id = $1`, 'client_disabled'],
    ['deleted', `UPDATE client SET status = 'deleted' WHERE client_id = $1`, 'client_deleted'],
    [
      'an earlier end',
      `UPDATE client SET expires_at = now() - interval '1 s' WHERE client_id = $1`,
      'client_expired',
    ],
    ['revoked', 'UPDATE client_secret SET revoked_at = now() WHERE client_id = $1', 'secret_revoked'],
    ['secret over', `UPDATE client_secret SET expires_at = now() WHERE client_id = $1`, 'secret_expired'],
    ['no access', 'DELETE FROM access WHERE client_id = $1', 'client_without_access'],
    ['no secret', 'DELETE FROM client_secret WHERE client_id = $1', 'client_has_no_secret'],
    [
      'fewer networks',
      `UPDATE client SET allowed_networks = '{192.0.2.1}' WHERE client_id = $1`,
      'network_not_allowed',
    ],
  ]
  test.for(taking)('%s', async ([, statement, reason]) => {
    const client = await newClient()
    expect(await answer(client)).toBe(usualAnswer)
    await sql(statement, [client.clientId])
    expect(await answer(client)).toBe(reason)
    expect(running.log()).not.toContain(`client ${client.clientId}: `)
  })
})

/** Rows of a client as they stand, and a way to put them back. */
async function copyOf(
  database: FreshDatabase,
  tables: readonly string[],
  where = '',
): Promise<() => Promise<void>> {
  const rows = new Map<string, Record<string, unknown>[]>()
  for (const table of tables)
    rows.set(table, await database.query(`SELECT to_jsonb(t) AS row FROM ${table} t ${where}`))
  return async () => {
    for (const table of tables.toReversed()) await database.query(`DELETE FROM ${table} ${where}`)
    for (const table of tables) {
      const json = JSON.stringify((rows.get(table) ?? []).map(({ row }) => row))
      await database.query(
        `INSERT INTO ${table} SELECT * FROM jsonb_populate_recordset(NULL::${table}, $1)`,
        [json],
      )
    }
  }
}

const registered = ['resource', 'client', 'client_secret', 'access'] as const
const sealed = ['sealed_registry_head', 'sealed_registry_node'] as const

describe('old copies of good rows', () => {
  test('a client from before it was disabled, access from before it was narrowed, a secret that was revoked', async () => {
    const client = await newClient()
    await updateClient(context, client.clientId, granting(orders, ['orders:write']))
    const where = `WHERE client_id = '${client.clientId}'`
    const putBack = await copyOf(running.database, ['client', 'client_secret', 'access'], where)
    await updateClient(context, client.clientId, (words) => ({
      ...words,
      access: [{ audience: orders, scopes: ['orders:read'] }],
    }))
    expect(await answer(client)).toBe(usualAnswer)
    await putBack()
    expect(await answer(client)).toBe(usualAnswer)

    await revokeSecret(context, client.clientId, client.secretId)
    await putBack()
    expect(await answer(client)).toBe('client_has_no_secret')

    const { secret } = await addSecret(context, client.clientId)
    const renewed = { ...client, ...secret }
    expect(await answer(renewed)).toBe(usualAnswer)
    const putEnabledBack = await copyOf(running.database, ['client', 'client_secret', 'access'], where)
    await setClientStatus(context, client.clientId, 'disabled')
    await putEnabledBack()
    expect(await answer(renewed)).toBe('client_disabled')
    await expect.poll(() => running.log()).toContain(`client ${client.clientId}: status`)

    await deleteClient(context, client.clientId)
    await putEnabledBack()
    expect(await answer(renewed)).toBe('client_deleted')
  })

  // On a database of its own: whoever reads it meanwhile finds all of the registry damaged, and a line of the log names
  // no more than 20 of them.
  test('with the nodes that went with them', async ({ database, startService: start }) => {
    const service = await start({ environment: sealedSetting })
    const own = sealedContext(service.service.database)
    await createResources(own)
    const client = await createTestClient(own, 'billing')
    const where = `WHERE client_id = 'billing'`
    const putRowsBack = await copyOf(database, ['client', 'client_secret', 'access'], where)
    const putNodesBack = await copyOf(database, ['sealed_registry_node'])
    await setClientStatus(own, 'billing', 'disabled')
    const putNewNodesBack = await copyOf(database, ['sealed_registry_node'])
    await putNodesBack()
    await putRowsBack()
    expect(await answer(client, {}, service)).toBe('registration_unsealed')
    await expect.poll(() => service.log()).toContain('client billing: tree_damaged')
    await putNewNodesBack()
    await expect
      .poll(() => answer(client, {}, service), { message: 'without a change of its rows' })
      .toBe('client_disabled')
  })
})

test('a trigger that changes rows when they are written gives nothing', async () => {
  const made = await generateSecret()
  await sql(`CREATE FUNCTION foreign_rows() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_TABLE_NAME = 'client_secret' THEN NEW.hash := '${made.hash}';
      ELSIF TG_TABLE_NAME = 'client' THEN NEW.token_endpoint_auth_method := NULL;
      ELSE NEW.scopes := '{orders:read,orders:write}'; END IF;
      RETURN NEW;
    END $$`)
  const tables = ['client', 'client_secret', 'access']
  for (const table of tables)
    await sql(
      `CREATE TRIGGER foreign_rows BEFORE INSERT OR UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION foreign_rows()`,
    )
  try {
    const client = await newClient()
    // The hash is the attacker's, so the client's own secret is not right either.
    expect(await answer(client)).toBe('client_has_no_secret')
    await sql('DROP TRIGGER foreign_rows ON client_secret')
    const { secret } = await addSecret(context, client.clientId)
    const own = { ...client, ...secret }
    expect(await answer(own)).toBe(usualAnswer)
    // What the trigger wrote is not taken over by whoever changes the client next.
    await updateClient(context, client.clientId, (words) => ({ ...words, name: 'Renamed' }))
    await updateClient(context, client.clientId, granting(invoices, ['invoices:read']))
    expect(await answer(own, { resource: orders })).toBe(usualAnswer)
  } finally {
    for (const table of tables) await sql(`DROP TRIGGER IF EXISTS foreign_rows ON ${table}`)
  }
})

test('a command never makes good what it finds, and puts right what it changes', async () => {
  const client = await newClient()
  const { clientId } = client
  await sql(`UPDATE access SET scopes = '{orders:read,orders:write}' WHERE client_id = $1`, [clientId])
  await sql(`INSERT INTO access (client_id, audience, scopes) VALUES ($1, $2, '{invoices:read}')`, [
    clientId,
    invoices,
  ])
  await updateClient(context, clientId, (words) => ({ ...words, name: 'Renamed' }))
  expect((await findClient(context.database.prisma, clientId, Date.now())).access).toEqual([
    { audience: orders, scopes: ['orders:read'] },
  ])
  expect(await answer(client, { resource: invoices })).toBe('target_not_granted')

  // A client that was disabled does not come back because a file leaves out the status.
  await setClientStatus(context, clientId, 'disabled')
  await sql(`UPDATE client SET status = 'active' WHERE client_id = $1`, [clientId])
  const file = {
    resources: [],
    clients: [
      {
        clientId,
        name: 'Renamed',
        tokenEndpointAuthMethod: 'client_secret_basic',
        allowedNetworks: [],
        expiresAt: undefined,
        status: undefined,
        access: [{ audience: orders, scopes: ['orders:read'] }],
        keys: undefined,
        assertionAudience: 'issuer' as const,
        dpopBoundTokens: false,
      },
    ],
  }
  await applyRegistration(context, file)
  expect(await answer(client)).toBe('client_disabled')
  expect(await setClientStatus(context, clientId, 'active')).toBe(true)
  expect(await answer(client)).toBe(usualAnswer)

  // Nothing is given to a client that nobody registered, until a file names it.
  const made = await registerClient(running.database, {
    access: { [orders]: ['orders:read'] },
  })
  const refused = { code: 'registration_unsealed' }
  await expect(addSecret(context, made.clientId)).rejects.toMatchObject(refused)
  await expect(setClientStatus(context, made.clientId, 'active')).rejects.toMatchObject(refused)
  await expect(updateClient(context, made.clientId, (words) => words)).rejects.toMatchObject(refused)
  const [first] = file.clients
  if (first === undefined) throw new Error('there is one')
  const naming = { resources: [], clients: [{ ...first, clientId: made.clientId, name: made.clientId }] }
  await applyRegistration(context, naming)
  expect(await answer(made), 'its secret was made by hand').toBe('client_has_no_secret')
  const { secret } = await addSecret(context, made.clientId)
  expect(await answer({ ...made, ...secret })).toBe(usualAnswer)
})

test('a resource: its row is put right, and it goes', async () => {
  await sql(`INSERT INTO resource (audience, name, scopes) VALUES ('urn:made', 'Made', '{a}')`)
  const change = (words: { readonly audience: string }) => ({ ...words, token_lifetime: 10 })
  await expect(updateResource(context, 'urn:made', change)).rejects.toMatchObject({
    code: 'registration_unsealed',
  })
  await deleteResource(context, 'urn:made')
  await sql(`UPDATE resource SET scopes = scopes || '{invoices:all}' WHERE audience = $1`, [invoices])
  const { definition } = await updateResource(context, invoices, change)
  expect([definition.scopes, definition.tokenLifetimeSeconds]).toEqual([['invoices:read'], 10])
})

test('commands need the key: without it they say so, and with another one too', async () => {
  const without = { ...context, sealing: { keyEncryptionKeys: () => undefined } }
  const change = (given: typeof context) => setClientStatus(given, neighbour.clientId, 'disabled')
  await expect(change(without)).rejects.toMatchObject({ code: 'registry_seal_key_unset' })
  const other = {
    ...context,
    sealing: { keyEncryptionKeys: () => [keyEncryptionKey(Buffer.alloc(32, 7))] as const },
  }
  await expect(change(other)).rejects.toMatchObject({ code: 'registry_seal_key_differs' })
  expect(await answer(neighbour)).toBe(usualAnswer)
})

describe('the whole registry is put back', () => {
  test('under a process that lives, and after its restart', async ({ database, startService: start }) => {
    const service = await start({ environment: sealedSetting })
    const own = sealedContext(service.service.database)
    await createResources(own)
    const client = await createTestClient(own, 'billing')
    expect(await answer(client, {}, service)).toBe(usualAnswer)
    const putBack = await copyOf(database, [...registered, ...sealed])
    await setClientStatus(own, 'billing', 'disabled')
    expect(await answer(client, {}, service)).toBe('client_disabled')
    await putBack()
    // The row says that it is enabled, and so does a tree with a good head.
    expect(await answer(client, {}, service)).toBe('registration_unsealed')
    await expect.poll(() => service.log()).toContain('registry : registry_seal_older')
    await expect.poll(() => readiness(service)).toMatchObject({ warnings: ['registry_unsealed'] })

    // A process that starts remembers nothing. The ledger does.
    await expect(start({ environment: sealedSetting })).rejects.toMatchObject({ code: 'registry_seal_older' })
    // Nor does a command build on it.
    await expect(setClientStatus(own, 'billing', 'active')).rejects.toMatchObject({
      code: 'registry_seal_older',
    })

    // With the ledger's last records gone, only a living process knows. It does not believe what is built on it either.
    await database.query(`DELETE FROM audit_record WHERE type = 'client' AND outcome = 'disabled'`)
    const others = await createTestClient(own, 'others')
    await updateClient(own, 'others', (words) => ({ ...words, name: 'Others' }))
    expect(await answer(client, {}, service)).toBe('registration_unsealed')
    expect(await answer(others, {}, service)).toBe('registration_unsealed')

    // Until an operator has looked through everything.
    const review = await reviewRegistry(own)
    await setClientStatus(own, 'others', 'disabled')
    await expect(sealRegistry(own, review)).rejects.toMatchObject({ code: 'registry_changed_meanwhile' })
    await setClientStatus(own, 'others', 'active')
    await sealRegistry(own, await reviewRegistry(own))
    expect(await answer(others, {}, service)).toBe(usualAnswer)
    await expect.poll(() => readiness(service)).toMatchObject({ status: 200 })
    expect(await answer(client, {}, await start({ environment: sealedSetting }))).toBe(usualAnswer)
  })

  test('the head alone: nothing that is read is believed, and what was in memory goes on', async ({
    database,
    startService: start,
  }) => {
    const service = await start({ environment: sealedSetting })
    const own = sealedContext(service.service.database)
    await createResources(own)
    const warm = await createTestClient(own, 'warm')
    const putBack = await copyOf(database, ['sealed_registry_head'])
    const cold = await createTestClient(own, 'cold')
    expect(await answer(warm, {}, service)).toBe(usualAnswer)
    const putNewBack = await copyOf(database, ['sealed_registry_head'])
    await putBack()
    await expect.poll(() => service.log()).toContain('registry : registry_seal_older')
    expect([await answer(warm, {}, service), await answer(cold, {}, service)]).toEqual([
      usualAnswer,
      'registration_unsealed',
    ])
    await database.query('DELETE FROM sealed_registry_head')
    await database.query(`UPDATE client SET name = name WHERE client_id = 'warm'`)
    expect(await answer(warm, {}, service)).toBe('registration_unsealed')
    await putNewBack()
    await expect
      .poll(() => answer(warm, {}, service), { message: 'without a change of rows' })
      .toBe(usualAnswer)
    expect(await answer(cold, {}, service)).toBe(usualAnswer)
    await database.query(
      `UPDATE sealed_registry_head SET number = number + 1, content = replace(content, '[1,', '[1,9')`,
    )
    await database.query(`UPDATE client SET name = name`)
    expect(await answer(warm, {}, service)).toBe('registration_unsealed')
    await expect.poll(() => service.log()).toContain('registry : registry_seal_damaged')
  })

  test('a change that somebody keeps from moving the version is heard of all the same', async ({
    database,
    startService: start,
  }) => {
    const service = await start({ environment: sealedSetting })
    const own = sealedContext(service.service.database)
    await createResources(own)
    const client = await createTestClient(own, 'billing')
    expect(await answer(client, {}, service)).toBe(usualAnswer)
    await database.query('ALTER TABLE registry_change_set DISABLE TRIGGER registry_change_set_publish')
    await setClientStatus(own, 'billing', 'disabled')
    await expect.poll(() => answer(client, {}, service)).toBe('client_disabled')
  })
})

test('a registry that exists: nothing is believed until it is sealed once, and then all of it', async ({
  database,
  startService: start,
}) => {
  const plain = await start()
  const client = await registerClient(database)
  expect(await answer(client, {}, plain)).toBe(`${orders} [orders:read orders:write] 300 ES256 at+jwt`)
  await expect(start({ environment: sealedSetting })).rejects.toMatchObject({ code: 'registry_seal_missing' })
  const own = sealedContext(plain.service.database)
  const review = await reviewRegistry(own)
  expect(review).toMatchObject({
    counts: { clients: 1, resources: 2, secrets: 1, access: 1 },
    headProblem: 'registry_seal_missing',
  })
  await sealRegistry(own, review)
  expect(await reviewRegistry(own)).toMatchObject({ problems: [], lessened: 0, headProblem: undefined })
  const service = await start({ environment: sealedSetting })
  expect(await answer(client, {}, service)).toBe(`${orders} [orders:read orders:write] 300 ES256 at+jwt`)
  expect((await readiness(service)).status, 'the first one runs without it').toBe(503)
  const [record] = await database.query<{ detail: string }>(
    `SELECT detail FROM audit_record WHERE type = 'registry' AND outcome = 'sealed'`,
  )
  expect(JSON.parse(record?.detail ?? '')).toMatchObject({ clients: 1, differed: 3, sealed: 1_000_000 })
})

test('whatever commands do in whatever order is sealed: nothing differs, and nothing has to be sealed again', async ({
  database,
  startService: start,
}) => {
  const service = await start({ environment: sealedSetting })
  const own = sealedContext(service.service.database)
  await createResources(own)
  const definition = (clientId: string, scopes: readonly string[]) => ({
    clientId,
    name: clientId,
    tokenEndpointAuthMethod: undefined,
    allowedNetworks: randomInt(2) === 0 ? [] : ['10.0.0.0/8'],
    expiresAt: undefined,
    status: undefined,
    keys: undefined,
    assertionAudience: 'issuer' as const,
    dpopBoundTokens: false,
    access: [{ audience: orders, scopes }],
  })
  const ids = Array.from({ length: 12 }, (_, number) => `client-${number}`)
  await applyRegistration(own, { resources: [], clients: ids.map((id) => definition(id, ['orders:read'])) })
  const secrets = new Map<string, string>()
  const steps: ((clientId: string) => Promise<unknown>)[] = [
    (id) => setClientStatus(own, id, 'disabled'),
    (id) => setClientStatus(own, id, 'active'),
    (id) => updateClient(own, id, granting(invoices, ['invoices:read'])),
    (id) => updateClient(own, id, removing(invoices, [])),
    (id) => applyRegistration(own, { resources: [], clients: [definition(id, ['orders:write'])] }),
    async (id) => {
      const { secret } = await addSecret(own, id)
      const before = secrets.get(id)
      if (before !== undefined) await revokeSecret(own, id, before)
      secrets.set(id, secret.secretId)
    },
    (id) => deleteClient(own, id),
  ]
  const deleted = new Set<string>()
  for (let count = 0; count < 120; count += 1) {
    const clientId = ids[randomInt(ids.length)] as string
    const step = randomInt(40) === 0 ? steps.length - 1 : randomInt(steps.length - 1)
    if (deleted.has(clientId)) continue
    if (step === steps.length - 1) deleted.add(clientId)
    await steps[step]?.(clientId)
  }
  expect(await reviewRegistry(own)).toMatchObject({ problems: [], lessened: 0, headProblem: undefined })
  const [before] = await database.query<{ content: string }>('SELECT content FROM sealed_registry_head')
  const nodes = 'SELECT node, content FROM sealed_registry_node ORDER BY node'
  const nodesBefore = await database.query(nodes)
  await sealRegistry(own, await reviewRegistry(own))
  const [after] = await database.query<{ content: string }>('SELECT content FROM sealed_registry_head')
  const rootOf = (text = '[]') => (JSON.parse(text) as unknown[]).at(-1)
  expect(rootOf(after?.content), 'the tree that is made of all rows is the same').toBe(
    rootOf(before?.content),
  )
  expect(await database.query(nodes)).toEqual(nodesBefore)
  expect(service.log()).not.toContain('registry_unsealed')
})

test('a rewrap puts the seal under the new key', async ({ database, startService: start }) => {
  const old = keyEncryptionKey(testKey)
  const next = keyEncryptionKey(Buffer.alloc(32, 9))
  const service = await start({ environment: sealedSetting })
  const own = sealedContext(service.service.database)
  await createResources(own)
  const client = await createTestClient(own, 'billing')
  await rewrap({ ...own, schedule: usual }, [next, old])
  const [head] = await database.query<{ id: string }>(
    'SELECT key_encryption_key_id AS id FROM sealed_registry_head',
  )
  expect(head?.id).toBe(next.id)
  const restarted = await start({ environment: sealedSetting, key: Buffer.alloc(32, 9) })
  expect(await answer(client, {}, restarted)).toBe(usualAnswer)
  const withNext = { ...own, sealing: { keyEncryptionKeys: () => [next] as const } }
  await setClientStatus(withNext, 'billing', 'disabled')
  expect(await answer(client, {}, restarted)).toBe('client_disabled')
})

test('without the setting, rows count as they stand', async ({ database, service }) => {
  const client = await registerClient(database)
  expect(await answer(client, {}, service)).toBe(`${orders} [orders:read orders:write] 300 ES256 at+jwt`)
  await database.query(`UPDATE access SET scopes = '{orders:write}' WHERE client_id = $1`, [client.clientId])
  expect(await answer(client, {}, service)).toBe(`${orders} [orders:write] 300 ES256 at+jwt`)
})
