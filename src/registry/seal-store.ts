import { readVersion } from '../database/history.ts'
import type { Database, Pool, Statements } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import type { KeyEncryptionKey } from '../keys/seal.ts'
import type { SealedText } from '../keys/sealed-text.ts'
import type { ResourceRow } from './resource-store.ts'
import { openHead, type SealHead, sealHead } from './seal-head.ts'
import { leafOf, type Nodes, type Subject, type TreeChange, treeDepth, wayTo } from './seal-tree.ts'
import { type ClientRow, clientsStatement } from './store.ts'
import { loadSealedTrustRows, type SealedTrustRows } from './trust-store.ts'

/** The sealed registry in the database: its head, its tree, and rows together with both. */

/** What a process that serves reads of it. Rows come with all that is needed to judge them, from one moment. */
export interface SealReads {
  /**
   * The head that counts for a process that remembers none; undefined when nobody ever sealed the registry.
   * @throws AdministrationError when it cannot be opened, or the ledger knows a later one.
   */
  readonly currentHead: (keys: readonly KeyEncryptionKey[]) => Promise<SealHead | undefined>
  /** Whether anything is registered that a seal would have to speak of. */
  readonly hasRegistrations: () => Promise<boolean>
  readonly clientRows: (clientIds: readonly string[]) => Promise<SealedRows>
  readonly trustRows: () => Promise<SealedTrustRows>
  /** The next clients after one, in the order of their ids. */
  readonly clientIdsAfter: (clientId: string, count: number) => Promise<readonly string[]>
}

export function sealReads({ statements, readPool }: Pick<Database, 'statements' | 'readPool'>): SealReads {
  return {
    currentHead: (keys) => currentHead(statements, keys),
    hasRegistrations: () => hasRegistrations(statements),
    clientRows: (clientIds) => loadSealedRows(readPool, clientIds),
    trustRows: () => loadSealedTrustRows(readPool),
    clientIdsAfter: (clientId, count) => nextClientIds(readPool, clientId, count),
  }
}

/** Values in one statement. */
const rowsPerStatementMax = 5_000

/** Rows as they stand, and what is needed to tell how far they count; all from one moment. */
export interface SealedRows {
  readonly version: number
  readonly clients: readonly ClientRow[]
  /** Every resource that these clients have access to. */
  readonly resources: readonly ResourceRow[]
  /** Undefined when nobody sealed the registry. */
  readonly head: SealedText | undefined
  readonly nodes: Nodes
}

interface HeadRow {
  readonly key: string
  readonly content: string
  /** Hex. */
  readonly mac: string
}

/** The ways to the leaves of these clients and their resources (`leafOf`), as an array: so an index finds the nodes. */
const sealedClientsStatement = `${clientsStatement},
    (SELECT json_build_object('key', key_encryption_key_id, 'content', content, 'mac', encode(mac, 'hex'))
       FROM sealed_registry_head LIMIT 1) AS head,
    (SELECT json_object_agg(node, content) FROM sealed_registry_node WHERE node = ANY(ARRAY(
       SELECT DISTINCT left(named.hash, depth)
         FROM (SELECT encode(sha256(convert_to('client ' || id, 'UTF8')), 'hex') FROM unnest($1::text[]) AS id
               UNION ALL
               SELECT encode(sha256(convert_to('resource ' || audience, 'UTF8')), 'hex')
                 FROM access WHERE client_id = ANY($1)) AS named (hash),
              generate_series(0, ${treeDepth}) AS depth))) AS nodes`

async function loadSealedRows(pool: Pool, clientIds: readonly string[]): Promise<SealedRows> {
  const { rows } = await pool.query<{
    version: string
    clients: ClientRow[] | null
    resources: ResourceRow[] | null
    head: HeadRow | null
    nodes: Record<string, string> | null
  }>({ name: 'registry_sealed_clients', text: sealedClientsStatement, values: [clientIds] })
  const row = rows[0]
  if (row === undefined) throw new Error('the registry has no version row')
  return {
    version: readVersion(row.version),
    clients: row.clients ?? [],
    resources: row.resources ?? [],
    head: row.head === null ? undefined : toSealed(row.head),
    nodes: new Map(Object.entries(row.nodes ?? {})),
  }
}

function toSealed({ key, content, mac }: HeadRow): SealedText {
  return { keyEncryptionKeyId: key, content, mac: Buffer.from(mac, 'hex') }
}

async function nextClientIds(pool: Pool, after: string, count: number): Promise<string[]> {
  const { rows } = await pool.query<{ client_id: string }>({
    name: 'registry_next_clients',
    text: 'SELECT client_id FROM client WHERE client_id > $1 ORDER BY client_id LIMIT $2',
    values: [after, count],
  })
  return rows.map((row) => row.client_id)
}

/** Whether anything is registered that a seal would have to speak of. */
export async function hasRegistrations(database: Statements): Promise<boolean> {
  const rows = await database.$queryRaw<{ found: number }[]>`
    SELECT 1 AS found WHERE EXISTS (SELECT 1 FROM client) OR EXISTS (SELECT 1 FROM resource)
       OR EXISTS (SELECT 1 FROM trusted_issuer)`
  return rows.length > 0
}

export async function readHead(database: Statements): Promise<SealedText | undefined> {
  const [row] = await database.$queryRaw<HeadRow[]>`
    SELECT key_encryption_key_id AS key, content, encode(mac, 'hex') AS mac FROM sealed_registry_head`
  return row === undefined ? undefined : toSealed(row)
}

/** The nodes on the way to these subjects. */
export async function readNodes(
  database: Statements,
  subjects: Iterable<readonly [Subject, string]>,
): Promise<Nodes> {
  const wanted = new Set<string>()
  for (const [subject, id] of subjects) for (const node of wayTo(leafOf(subject, id))) wanted.add(node)
  const nodes = new Map<string, string>()
  for (const chunk of chunks([...wanted])) {
    const rows = await database.$queryRaw<{ node: string; content: string }[]>`
      SELECT node, content FROM sealed_registry_node WHERE node = ANY(${chunk}::text[])`
    for (const { node, content } of rows) nodes.set(node, content)
  }
  return nodes
}

/** Writes what changed of the tree, and its head. @param isWhole the tree has no other nodes than these. */
export async function writeSeal(
  database: Statements,
  key: KeyEncryptionKey,
  head: SealHead,
  change: TreeChange,
  isWhole = false,
): Promise<void> {
  const gone: string[] = []
  const rows: { node: string; content: string }[] = []
  for (const [node, content] of change.nodes) {
    if (content === undefined) gone.push(node)
    else rows.push({ node, content })
  }
  if (isWhole) await database.$executeRaw`DELETE FROM sealed_registry_node`
  for (const chunk of chunks(gone)) {
    await database.$executeRaw`DELETE FROM sealed_registry_node WHERE node = ANY(${chunk}::text[])`
  }
  for (const chunk of chunks(rows)) {
    await database.$executeRaw`
      INSERT INTO sealed_registry_node (node, content)
      SELECT n.node, n.content FROM jsonb_to_recordset(${JSON.stringify(chunk)}::jsonb) AS n (node text, content text)
      ON CONFLICT (node) DO UPDATE SET content = excluded.content`
  }
  await writeHead(database, key, head)
}

async function writeHead(database: Statements, key: KeyEncryptionKey, head: SealHead): Promise<void> {
  const { content, mac } = sealHead(key, head)
  await database.$executeRaw`
    INSERT INTO sealed_registry_head ("only", number, key_encryption_key_id, content, mac)
    VALUES (true, ${head.number}, ${key.id}, ${content}, ${new Uint8Array(mac)})
    ON CONFLICT ("only") DO UPDATE SET number = excluded.number, key_encryption_key_id = excluded.key_encryption_key_id,
      content = excluded.content, mac = excluded.mac`
}

/**
 * Puts the head under another key-encryption key, whatever the setting says: otherwise nobody could read it once the old
 * key is gone. A head that these keys do not open stays as it is. The process that reads it reports what is wrong.
 */
export async function resealHead(
  database: Statements,
  to: KeyEncryptionKey,
  keys: readonly KeyEncryptionKey[],
): Promise<void> {
  const stored = await readHead(database)
  if (stored === undefined || stored.keyEncryptionKeyId === to.id) return
  const key = keys.find(({ id }) => id === stored.keyEncryptionKeyId)
  if (key === undefined) return
  await writeHead(database, to, openHead(stored, [key]))
}

export interface RecordedSeal {
  readonly number: number
  readonly root: string | undefined
}

/**
 * The latest head in the ledger's records of changes. It stands in the first record of a change.
 * @param afterChain only chains after this one are read: a head says which are older than itself.
 */
export async function recordedSeal(
  database: Statements,
  afterChain: number,
): Promise<RecordedSeal | undefined> {
  const [row] = await database.$queryRaw<{ number: number; root: string | null }[]>`
    SELECT (detail::jsonb ->> 'sealed')::float8 AS number, detail::jsonb ->> 'sealed_root' AS root
      FROM audit_chain JOIN audit_record USING (chain)
     WHERE chain > ${afterChain}::int AND seq = 1 AND type IN ('client', 'secret', 'client_key', 'access', 'resource', 'issuer', 'trust_rule', 'workload', 'registry')
       AND detail::jsonb ? 'sealed'
     ORDER BY 1 DESC LIMIT 1`
  return row === undefined ? undefined : { number: row.number, root: row.root ?? undefined }
}

/**
 * The head that counts for a process that remembers none.
 * @returns undefined when nobody ever sealed the registry.
 * @throws AdministrationError when the head cannot be opened, or the ledger knows a later one.
 */
export async function currentHead(
  database: Statements,
  keys: readonly KeyEncryptionKey[],
): Promise<SealHead | undefined> {
  const stored = await readHead(database)
  const head = stored === undefined ? undefined : openHead(stored, keys)
  const recorded = await recordedSeal(database, head?.chainBefore ?? 0)
  const number = head?.number ?? 0
  const isOlder =
    recorded !== undefined &&
    (recorded.number > number || (recorded.number === number && recorded.root !== head?.root))
  if (isOlder) throw new AdministrationError('registry_seal_older', { number, recorded: recorded.number })
  return head
}

export async function lastChain(database: Statements): Promise<number> {
  const [row] = await database.$queryRaw<
    { chain: number | null }[]
  >`SELECT max(chain) AS chain FROM audit_chain`
  return row?.chain ?? 0
}

/** Tells every process to read these again, even if their rows did not change. `*` means all. */
export async function noteChanges(
  database: Statements,
  subjects: readonly (readonly [Subject, string])[],
): Promise<void> {
  for (const chunk of chunks(subjects)) {
    await database.$executeRaw`
      WITH noted AS (INSERT INTO registry_change_set DEFAULT VALUES RETURNING set_id)
      INSERT INTO registry_change (set_id, subject, subject_id)
      SELECT set_id, s ->> 0, s ->> 1 FROM noted, jsonb_array_elements(${JSON.stringify(chunk)}::jsonb) AS s`
  }
}

function chunks<Value>(values: readonly Value[]): Value[][] {
  const result: Value[][] = []
  for (let start = 0; start < values.length; start += rowsPerStatementMax) {
    result.push(values.slice(start, start + rowsPerStatementMax))
  }
  return result
}
