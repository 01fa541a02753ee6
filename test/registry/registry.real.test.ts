/**
 * The registry in memory, on a real PostgreSQL: all of it is as of one version, whatever changes while it is read.
 * Long because each order of reads and changes is one test.
 */
import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Pool } from '../../src/database/open.ts'
import { limits } from '../../src/limits.ts'
import { Registry } from '../../src/registry/registry.ts'
import { type FreshDatabase, freshDatabase, openPool } from '../support/database.ts'

const orders = 'https://orders.example.com'
const invoices = 'https://invoices.example.com'

let database: FreshDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await freshDatabase()
  pool = openPool({ connectionString: database.url, max: 2 })
  pool.on('error', () => {})
  await database.query(
    `INSERT INTO resource (audience, name, scopes, token_lifetime_seconds) VALUES
       ($1, 'Orders', '{orders:read,orders:write}', 300), ($2, 'Invoices', '{invoices:read}', 60)`,
    [orders, invoices],
  )
})
afterEach(() => {
  vi.useRealTimers()
})
afterAll(async () => {
  await pool.end()
  await database.drop()
})

/** A registry whose reads are counted, and can be delayed, replaced or followed by something. */
async function openRegistry({ clientsMax = 1_000 } = {}) {
  const reads: string[] = []
  const clock = { milliseconds: 50_000 }
  const noted = {
    faults: [] as unknown[],
    recoveries: 0,
    keyChanges: 0,
    times: [] as [number, number][],
    misled: [] as string[],
  }
  const hooks = {
    /** Takes the place of a read. */
    before: undefined as ((name: string) => unknown) | undefined,
    /** Between what the database answered and what the registry makes of it. */
    after: undefined as ((name: string) => Promise<unknown>) | undefined,
    onKeysChanged: async (): Promise<void> => {},
  }
  const query = async (statement: { name: string }) => {
    reads.push(statement.name)
    await hooks.before?.(statement.name)
    const answer = await pool.query(statement as pg.QueryConfig)
    await hooks.after?.(statement.name)
    return answer
  }
  const registry = new Registry({
    pool: { query } as unknown as Pool,
    monotonicMilliseconds: () => clock.milliseconds,
    wait: (_milliseconds, then) => setImmediate(then),
    clientsMax,
    onKeysChanged: async () => {
      noted.keyChanges += 1
      await hooks.onKeysChanged()
    },
    onMisled: (reason) => noted.misled.push(reason),
    onDatabaseTime: (seconds, elapsed) => noted.times.push([seconds, elapsed]),
    onFault: (error) => noted.faults.push(error),
    onRecovered: () => {
      noted.recoveries += 1
    },
  })
  await registry.open()
  reads.length = 0
  /** How often clients were read. */
  const clientReads = () => reads.filter((name) => name === 'registry_clients').length
  const looks = () => reads.filter((name) => name === 'registry_changes').length
  return { registry, reads, clientReads, looks, clock, noted, hooks }
}

async function registerClient(access: readonly string[] = [orders]): Promise<string> {
  const clientId = `client-${randomBytes(4).toString('hex')}`
  await database.query('INSERT INTO client (client_id, name) VALUES ($1, $1)', [clientId])
  for (const audience of access) {
    await database.query('INSERT INTO access (client_id, audience, scopes) VALUES ($1, $2, $3)', [
      clientId,
      audience,
      ['orders:read'],
    ])
  }
  return clientId
}

const disable = (clientId: string) =>
  database.query(`UPDATE client SET status = 'disabled' WHERE client_id = $1`, [clientId])

async function currentVersion(): Promise<number> {
  const [row] = await database.query<{ version: string }>('SELECT version FROM registry_version')
  return Number(row?.version)
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A promise, and how to settle it. */
const gate = () => Promise.withResolvers<void>()

describe('a view', () => {
  test('has the client, the resource and their version, and is read once', async () => {
    const { registry, clientReads, noted } = await openRegistry()
    expect(registry.healthy).toBe(true)
    const clientId = await registerClient()
    expect(registry.viewNow(clientId, undefined)).toBeUndefined()
    const view = await registry.view(clientId, undefined)
    expect(view).toMatchObject({
      version: await currentVersion(),
      client: { clientId, status: 'active', access: new Map([[orders, ['orders:read']]]) },
      resource: {
        audience: orders,
        tokenLifetimeSeconds: 300,
        scopes: new Set(['orders:read', 'orders:write']),
      },
    })
    expect(await registry.view(clientId, undefined)).toEqual(view)
    expect(registry.viewNow(clientId, undefined)).toEqual(view)
    expect(clientReads()).toBe(1)
    expect(registry.version).toBe(view.version)
    expect(noted).toMatchObject({ faults: [], recoveries: 0 })
  })

  test('has the resource that is asked for, if the client has access to it', async () => {
    const { registry, clientReads } = await openRegistry()
    const clientId = await registerClient([orders, invoices])
    expect((await registry.view(clientId, invoices)).resource?.audience).toBe(invoices)
    expect((await registry.view(clientId, orders)).resource?.audience).toBe(orders)
    expect((await registry.view(clientId, 'https://other.example.com')).resource).toBeUndefined()
    expect((await registry.view(clientId, undefined)).resource, 'of two, neither').toBeUndefined()
    const without = await registerClient([])
    expect(await registry.view(without, undefined)).toMatchObject({ client: { clientId: without } })
    expect((await registry.view(without, orders)).resource, 'known, and not for this client').toBeUndefined()
    expect(clientReads()).toBe(2)
  })

  test('of nobody is remembered as such, until somebody of that name is registered', async () => {
    const { registry, clientReads } = await openRegistry()
    const clientId = `later-${randomBytes(4).toString('hex')}`
    for (let times = 0; times < 3; times += 1) {
      expect(await registry.view(clientId, orders)).toEqual({
        version: registry.version,
        client: undefined,
        resource: undefined,
      })
    }
    expect(clientReads()).toBe(1)
    await database.query('INSERT INTO client (client_id, name) VALUES ($1, $1)', [clientId])
    await registry.refresh()
    expect((await registry.view(clientId, orders)).client?.clientId).toBe(clientId)
  })

  test('of a name that is too long to be registered costs no read', async () => {
    const { registry, reads, clientReads } = await openRegistry()
    const most = limits.clientIdCharactersMax
    expect(await registry.view('a'.repeat(most + 1), undefined)).toEqual({
      version: registry.version,
      client: undefined,
      resource: undefined,
    })
    expect(reads).toEqual([])
    await registry.view('a'.repeat(most), undefined)
    expect(clientReads()).toBe(1)
  })
})

test('a client that memory has no room for any more is read again, and not taken for an unknown one', async () => {
  const { registry, clientReads } = await openRegistry({ clientsMax: 2 })
  const clientIds = [await registerClient(), await registerClient(), await registerClient()]
  for (const clientId of clientIds) await registry.view(clientId, undefined)
  const [first = ''] = clientIds
  expect(registry.viewNow(first, undefined)).toBeUndefined()
  expect((await registry.view(first, undefined)).client?.clientId).toBe(first)
  expect(clientReads()).toBe(4)
})

describe('clients that are wanted at the same time', () => {
  test('share one read, and whoever wants the same as well', async () => {
    const { registry, clientReads } = await openRegistry()
    const clientIds = [await registerClient(), await registerClient(), await registerClient()]
    const views = await Promise.all([...clientIds, ...clientIds].map((id) => registry.view(id, undefined)))
    expect(views.map(({ client }) => client?.clientId)).toEqual([...clientIds, ...clientIds])
    expect(clientReads()).toBe(1)
  })

  test('are read so many at once, and the others next', async () => {
    const { registry, clientReads } = await openRegistry()
    const most = limits.registryClientsPerLoadMax
    const names = (count: number) => Array.from({ length: count }, () => randomBytes(8).toString('hex'))
    await Promise.all(names(most).map((name) => registry.view(name, undefined)))
    expect(clientReads()).toBe(1)
    await Promise.all(names(most + 1).map((name) => registry.view(name, undefined)))
    expect(clientReads()).toBe(3)
  })

  test('one that is wanted while others are read comes with the next', async () => {
    const { registry, clientReads, hooks } = await openRegistry()
    const [first, second] = [await registerClient(), await registerClient()]
    let later: Promise<unknown> | undefined
    hooks.after = async (name) => {
      if (name === 'registry_clients') later ??= registry.view(second, undefined)
    }
    await registry.view(first, undefined)
    expect(await later).toMatchObject({ client: { clientId: second } })
    expect(clientReads()).toBe(2)
  })
})

describe('a change that comes between a read and its adoption', () => {
  test('is not missed: what was read before it is not taken for what is true after it', async () => {
    const { registry, hooks, clientReads } = await openRegistry()
    const clientId = await registerClient()
    await registry.refresh()
    hooks.after = async (name) => {
      if (name !== 'registry_clients') return
      hooks.after = undefined
      // The client is disabled and somebody else has brought memory to that version, before this read comes in.
      await disable(clientId)
      await registry.refresh()
    }
    const view = await registry.view(clientId, undefined)
    expect(view).toMatchObject({ version: await currentVersion(), client: { status: 'disabled' } })
    expect(clientReads()).toBe(2)
  })

  test('nor is one that memory has not heard of, and what was read before the next one', async () => {
    const { registry, hooks } = await openRegistry()
    const [known, clientId] = [await registerClient(), await registerClient()]
    await registry.view(known, undefined)
    await disable(known)
    let changed = false
    hooks.before = async (name) => {
      if (name !== 'registry_changes' || changed) return
      changed = true
      // Memory goes to the version of this second change, and not to the one that was read.
      await disable(clientId)
    }
    const view = await registry.view(clientId, undefined)
    expect(changed).toBe(true)
    expect(view).toMatchObject({ version: await currentVersion(), client: { status: 'disabled' } })
    expect(registry.viewNow(known, undefined), 'forgotten').toBeUndefined()
  })

  test('brings memory to the version that was read, and what was read with it', async () => {
    const { registry, clientReads, looks } = await openRegistry()
    const [known, clientId] = [await registerClient(), await registerClient()]
    await registry.view(known, undefined)
    await disable(known)
    const view = await registry.view(clientId, undefined)
    expect(view.version).toBe(await currentVersion())
    expect(registry.viewNow(known, undefined), 'forgotten').toBeUndefined()
    expect([clientReads(), looks()], 'once for each client, and a look at what changed').toEqual([2, 2])
  })

  test('at every read is more than a request waits for', async () => {
    const { registry, hooks, clientReads } = await openRegistry()
    const clientId = await registerClient()
    hooks.after = async (name) => {
      if (name !== 'registry_clients') return
      await disable(clientId)
      await registry.refresh()
    }
    await expect(registry.view(clientId, undefined)).rejects.toMatchObject({ reason: 'registry_unsettled' })
    expect(clientReads()).toBe(limits.decisionsPerRequestMax)
  })
})

describe('a refresh', () => {
  test('forgets what changed, and only that', async () => {
    const { registry, clientReads } = await openRegistry()
    const [changed, same] = [await registerClient(), await registerClient([invoices])]
    for (const clientId of [changed, same]) await registry.view(clientId, undefined)
    await disable(changed)
    await registry.refresh()
    expect(registry.version).toBe(await currentVersion())
    expect(registry.viewNow(same, undefined)).toMatchObject({ client: { status: 'active' } })
    expect(registry.viewNow(changed, undefined)).toBeUndefined()
    expect(await registry.view(changed, undefined)).toMatchObject({ client: { status: 'disabled' } })
    expect(clientReads()).toBe(3)
  })

  test('forgets a resource that changed, and not its clients', async () => {
    const { registry } = await openRegistry()
    const [one, both] = [await registerClient([orders]), await registerClient([orders, invoices])]
    for (const clientId of [one, both]) await registry.view(clientId, orders)
    await database.query('UPDATE resource SET token_lifetime_seconds = 301 WHERE audience = $1', [orders])
    await registry.refresh()
    expect(registry.viewNow(both, invoices)).toMatchObject({ resource: { audience: invoices } })
    expect(registry.viewNow(one, undefined)).toBeUndefined()
    expect(await registry.view(one, undefined)).toMatchObject({ resource: { tokenLifetimeSeconds: 301 } })
    await database.query('UPDATE resource SET token_lifetime_seconds = 300 WHERE audience = $1', [orders])
  })

  test('forgets everything where everything may have changed: a table that was emptied', async () => {
    const { registry } = await openRegistry()
    const unknown = randomBytes(4).toString('hex')
    const all = [await registerClient([invoices]), await registerClient([]), unknown]
    for (const clientId of all) await registry.view(clientId, undefined)
    await database.query('TRUNCATE signing_key')
    await registry.refresh()
    for (const clientId of all) expect(registry.viewNow(clientId, undefined)).toBeUndefined()
  })

  test('forgets everything where the database does not know the version: a backup was restored', async () => {
    const { registry, noted } = await openRegistry()
    const clientId = await registerClient([invoices])
    await registry.view(clientId, undefined)
    const before = noted.keyChanges
    // Another history went on from an earlier version to this one.
    await database.query('UPDATE registry_version SET version = version + 1')
    await database.query(
      'DELETE FROM registry_change_set WHERE version = (SELECT max(version) FROM registry_change_set)',
    )
    await registry.refresh()
    expect(registry.version).toBe(await currentVersion())
    expect(registry.viewNow(clientId, undefined)).toBeUndefined()
    expect(noted.keyChanges, 'keys as well').toBe(before + 1)
  })

  test('forgets everything where too much changed to follow, and follows what is just not too much', async () => {
    const { registry, noted } = await openRegistry()
    const clientId = await registerClient([invoices])
    await registry.view(clientId, undefined)
    const before = noted.keyChanges
    const most = limits.registryChangesPerRefreshMax
    const register = (count: number) =>
      database.query(
        `INSERT INTO client (client_id, name) SELECT 'many-' || gen_random_uuid(), 'Many' FROM generate_series(1, $1::int)`,
        [count],
      )
    await register(most)
    await registry.refresh()
    expect(registry.viewNow(clientId, undefined)).toMatchObject({ client: { clientId } })
    expect(noted.keyChanges).toBe(before)
    await register(most + 1)
    await registry.refresh()
    expect(registry.viewNow(clientId, undefined)).toBeUndefined()
    expect(noted.keyChanges).toBe(before + 1)
  })

  test('that heard of a version does nothing where memory is there already', async () => {
    const { registry, looks } = await openRegistry()
    const { version } = registry
    await registry.refresh(version)
    expect(looks()).toBe(0)
    await registerClient()
    await registry.refresh()
    expect(looks()).toBe(1)
    await registry.refresh(version)
    expect(looks()).toBe(2)
    await registry.refresh()
    expect(looks()).toBe(3)
  })

  test('is not believed if the database does not know the version of a commit, and is repeated over other connections', async () => {
    const { registry, looks, noted } = await openRegistry()
    await expect(registry.refresh(registry.version - 1)).rejects.toMatchObject({
      reason: 'registry_unavailable',
    })
    expect(noted.misled).toEqual(['unknown_version'])
    expect(looks()).toBe(2)
    expect(registry.healthy).toBe(false)
    await registry.refresh()
    expect(registry.healthy).toBe(true)
  })

  test('shares the work of one under way', async () => {
    const { registry, looks } = await openRegistry()
    await Promise.all([registry.refresh(), registry.refresh(), registry.refresh()])
    expect(looks()).toBe(1)
  })

  test('that heard of a version waits for one under way; and looks again where that one may have read too early', async () => {
    const { registry, looks, hooks } = await openRegistry()
    const clientId = await registerClient()
    await registry.refresh()
    const before = looks()
    const held = gate()
    hooks.after = () => held.promise
    const first = registry.refresh()
    await turn()
    await expect.poll(looks).toBe(before + 1)
    await disable(clientId)
    const heard = [registry.refresh(await currentVersion()), registry.refresh(await currentVersion())]
    const same = registry.refresh(registry.version)
    hooks.after = undefined
    held.resolve()
    await Promise.all([first, same, ...heard])
    expect(registry.version).toBe(await currentVersion())
    expect(looks()).toBe(before + 2)
  })
})

describe('signing keys that changed', () => {
  const addKey = () =>
    database.query(
      `INSERT INTO signing_key (kid, algorithm, generation, public_jwk, sealed_private_key, key_encryption_key_id,
         published_at, signs_from, signs_until, published_until)
       VALUES ($1, 'ES256', (SELECT count(*) + 1 FROM signing_key), '{}', '', 'none', now(), now(), now(), now())`,
      [randomBytes(8).toString('hex')],
    )

  test('are read before the version moves on, and the others are not read for other changes', async () => {
    const { registry, noted, hooks } = await openRegistry()
    const before = registry.version
    await registerClient()
    await registry.refresh()
    expect(noted.keyChanges).toBe(0)
    const moved = registry.version
    expect(moved).not.toBe(before)
    await addKey()
    let versionThen: number | undefined
    hooks.onKeysChanged = async () => {
      await turn()
      versionThen = registry.version
    }
    await registry.refresh()
    expect(noted.keyChanges).toBe(1)
    expect(versionThen).toBe(moved)
    expect(registry.version).toBe(await currentVersion())
  })

  test('that cannot be read leave the version where it is, and are read at the next look', async () => {
    const { registry, noted, hooks } = await openRegistry()
    const before = registry.version
    await addKey()
    const unreadable = new Error('no such key')
    hooks.onKeysChanged = () => Promise.reject(unreadable)
    await expect(registry.refresh()).rejects.toMatchObject({
      reason: 'registry_unavailable',
      cause: unreadable,
    })
    expect(registry.version).toBe(before)
    expect(registry.healthy).toBe(false)
    hooks.onKeysChanged = async () => {}
    await registry.refresh()
    expect(noted.keyChanges).toBe(2)
    expect(registry.version).toBe(await currentVersion())
    expect(registry.healthy).toBe(true)
  })

  test('that take too long are given up', async () => {
    const { registry, hooks, noted } = await openRegistry()
    const before = registry.version
    await addKey()
    hooks.onKeysChanged = () => new Promise(() => {})
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const refreshed = registry.refresh().catch((error: unknown) => error)
    while (noted.keyChanges === 0) await turn()
    vi.advanceTimersByTime(limits.databaseReadTimeoutMilliseconds)
    expect(await refreshed).toMatchObject({
      reason: 'registry_unavailable',
      cause: { message: expect.stringContaining('could not be read in time') },
    })
    expect(registry.version).toBe(before)
  })
})

describe('a database that does not answer', () => {
  const away = new Error('away')
  const fail = () => Promise.reject(away)

  test('refuses whoever waits for a read, is told once for all of them, and told when it is back', async () => {
    const { registry, noted, hooks } = await openRegistry()
    const [first, second] = [await registerClient(), await registerClient()]
    await registry.refresh()
    expect(registry.healthy).toBe(true)
    hooks.before = fail
    const views = await Promise.allSettled([first, second, first].map((id) => registry.view(id, undefined)))
    for (const view of views) {
      expect(view).toMatchObject({ reason: { reason: 'registry_unavailable', cause: away } })
    }
    expect(noted.faults).toEqual([away])
    expect(registry.healthy).toBe(false)
    expect(noted.recoveries).toBe(0)
    hooks.before = undefined
    for (const clientId of [first, second]) {
      expect((await registry.view(clientId, undefined)).client?.clientId).toBe(clientId)
      expect(registry.healthy).toBe(true)
      expect(noted.recoveries).toBe(1)
    }
  })

  test('fails a refresh, which a later one makes good', async () => {
    const { registry, noted, hooks } = await openRegistry()
    const clientId = await registerClient()
    hooks.before = fail
    await expect(registry.refresh()).rejects.toMatchObject({ reason: 'registry_unavailable', cause: away })
    expect(registry.healthy).toBe(false)
    hooks.before = undefined
    await registry.refresh()
    expect(registry.healthy).toBe(true)
    expect(noted.recoveries).toBe(1)
    expect(registry.version).toBe(await currentVersion())
    expect((await registry.view(clientId, undefined)).client?.clientId).toBe(clientId)
  })

  test('is not waited for longer than a read may take', async () => {
    const { registry, hooks } = await openRegistry()
    const clientId = await registerClient()
    const held = gate()
    hooks.before = () => held.promise
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let answer: unknown
    const viewed = registry.view(clientId, undefined).catch((error: unknown) => {
      answer = error
    })
    await turn()
    vi.advanceTimersByTime(limits.databaseReadTimeoutMilliseconds - 1)
    await turn()
    expect(answer).toBeUndefined()
    vi.advanceTimersByTime(1)
    await viewed
    expect(answer).toMatchObject({ reason: 'registry_unavailable' })
    vi.useRealTimers()
    held.resolve()
    expect((await registry.view(clientId, undefined)).client?.clientId).toBe(clientId)
  })
})

describe('while it is open', () => {
  test('the registry looks again and again, tells a fault and goes on; closed it looks no more', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const { registry, noted, hooks, looks } = await openRegistry()
    await registerClient()
    const poll = async (times: number) => {
      vi.advanceTimersByTime(limits.registryPollMilliseconds)
      await expect.poll(looks).toBe(times)
    }
    await poll(1)
    const version = await currentVersion()
    await expect.poll(() => registry.version).toBe(version)
    hooks.before = () => Promise.reject(new Error('away'))
    await poll(2)
    await expect.poll(() => noted.faults).toMatchObject([{ reason: 'registry_unavailable' }])
    hooks.before = undefined
    await poll(3)
    await expect.poll(() => registry.healthy).toBe(true)

    const held = gate()
    hooks.after = () => held.promise
    vi.advanceTimersByTime(limits.registryPollMilliseconds)
    let isClosed = false
    const closed = registry.close().then(() => {
      isClosed = true
    })
    await turn()
    expect(isClosed, 'it waits for the look that is under way').toBe(false)
    held.resolve()
    await closed
    expect(vi.getTimerCount()).toBe(0)
    expect(looks()).toBe(4)
  })

  test('closing waits for clients that are being read', async () => {
    const { registry, hooks, reads } = await openRegistry()
    const clientId = await registerClient()
    const held = gate()
    hooks.after = () => held.promise
    const viewed = registry.view(clientId, undefined)
    await expect.poll(() => reads.length).toBe(1)
    let isClosed = false
    const closed = registry.close().then(() => {
      isClosed = true
    })
    await turn()
    expect(isClosed).toBe(false)
    held.resolve()
    await closed
    expect((await viewed).client?.clientId).toBe(clientId)
  })

  test('every look tells what the database says the time is, and what asking took', async () => {
    const { registry, noted, hooks, clock } = await openRegistry()
    const [opened] = noted.times
    expect(Math.abs((opened?.[0] ?? 0) - Date.now() / 1_000)).toBeLessThan(60)
    expect(opened?.[1]).toBe(0)
    hooks.after = async () => {
      clock.milliseconds += 250
    }
    await registry.refresh()
    expect(noted.times).toHaveLength(2)
    expect(noted.times[1]?.[1]).toBe(0.25)
  })
})

describe('catching up', () => {
  test('is nothing to do where the last look is young, and one look where it is old', async () => {
    const { registry, looks, clock } = await openRegistry()
    await registerClient()
    clock.milliseconds += limits.registryLookOldMilliseconds
    await registry.catchUp()
    expect(looks()).toBe(0)
    clock.milliseconds += 1
    await registry.catchUp()
    expect(looks()).toBe(1)
    expect(registry.version).toBe(await currentVersion())
    await registry.catchUp()
    expect(looks()).toBe(1)
  })

  test('looks twice where a look was under way when the process was stopped', async () => {
    const { registry, looks, clock, hooks } = await openRegistry()
    const held = gate()
    hooks.after = () => held.promise
    const stopped = registry.refresh()
    await expect.poll(looks).toBe(1)
    clock.milliseconds += limits.registryLookOldMilliseconds + 1
    hooks.after = undefined
    const caughtUp = registry.catchUp()
    held.resolve()
    await Promise.all([stopped, caughtUp])
    expect(looks()).toBe(2)
  })

  test('does with memory where the database does not answer, and tries no more than twice', async () => {
    const { registry, looks, clock, hooks } = await openRegistry()
    const before = registry.version
    clock.milliseconds += limits.registryLookOldMilliseconds + 1
    // Each look takes so long that the next one is due.
    hooks.before = () => {
      clock.milliseconds += limits.registryLookOldMilliseconds + 1
      return Promise.reject(new Error('away'))
    }
    await registry.catchUp()
    expect(registry.version).toBe(before)
    expect(looks()).toBe(2)
  })
})
