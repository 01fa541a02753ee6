import { readVersion } from '../database/history.ts'
import type { Pool } from '../database/open.ts'
import type { SealedText } from '../keys/sealed-text.ts'
import { blocksSubject } from './blocks-statement.ts'
import { type IssuerRow, type TrustTable, toIssuer } from './issuer.ts'
import { type ResourceRow, resourceObject, toResource } from './resource-store.ts'
import { type Nodes, treeDepth } from './seal-tree.ts'

/** How the trust table is read: all of it in one statement, so that it and its version come from one moment. */

export interface LoadedTrust {
  readonly version: number
  readonly trust: TrustTable
}

/** Rows as they stand. */
export interface TrustRows {
  readonly version: number
  readonly issuers: readonly IssuerRow[]
  readonly blocked: readonly string[]
  /** Every resource that a rule names. */
  readonly resources: readonly ResourceRow[]
}

/** The same, with what is needed to judge how far the rows count. */
export interface SealedTrustRows extends TrustRows {
  readonly head: SealedText | undefined
  readonly nodes: Nodes
}

/** One issuer with its rules, as JSON. `i` is its row. */
const issuerObject = `json_build_object('issuer', i.issuer, 'status', i.status, 'source', i.key_source, 'url', i.keys_url,
  'jwks', i.jwks, 'owner', i.owner, 'rules', (SELECT json_agg(json_build_object('rule', r.rule, 'conditions', r.conditions,
     'client_id', r.client_id, 'access', r.access, 'assertion_audience', r.assertion_audience,
     'max_age', r.assertion_max_age_seconds, 'use', r.assertion_use, 'lifetime', r.token_lifetime_seconds,
     'allow_default', r.allow_default_service_account, 'any_subject', r.dangerously_any_subject,
     'required_certificate', json_build_array(r.required_certificate_field, r.required_certificate_value),
     'require_dpop', r.require_dpop) ORDER BY r.rule)
   FROM trust_rule r WHERE r.issuer = i.issuer))`

/** What rules name, even if somebody wrote something else into the column by hand. */
const namedAudiences = `SELECT a ->> 'audience' FROM trust_rule,
   jsonb_array_elements(CASE jsonb_typeof(access) WHEN 'array' THEN access ELSE '[]' END) AS a`

const trustStatement = `
  SELECT
    (SELECT version FROM registry_version) AS version,
    (SELECT json_agg(${issuerObject}) FROM trusted_issuer i) AS issuers,
    (SELECT json_agg(workload_id) FROM blocked_workload) AS blocked,
    (SELECT json_agg(${resourceObject})
     FROM resource r WHERE r.audience IN (${namedAudiences})) AS resources`

const sealedTrustStatement = `${trustStatement},
    (SELECT json_build_object('key', key_encryption_key_id, 'content', content, 'mac', encode(mac, 'hex'))
       FROM sealed_registry_head LIMIT 1) AS head,
    (SELECT json_object_agg(node, content) FROM sealed_registry_node WHERE node = ANY(ARRAY(
       SELECT DISTINCT left(named.hash, depth)
         FROM (SELECT encode(sha256(convert_to('issuer ' || issuer, 'UTF8')), 'hex') FROM trusted_issuer
               UNION ALL
               SELECT encode(sha256(convert_to('resource ' || audience, 'UTF8')), 'hex')
                 FROM (${namedAudiences}) AS n (audience)
               UNION ALL
               SELECT encode(sha256(convert_to('${blocksSubject.join(' ')}', 'UTF8')), 'hex')) AS named (hash),
              generate_series(0, ${treeDepth}) AS depth))) AS nodes`

interface TrustLine {
  readonly version: string
  readonly issuers: IssuerRow[] | null
  readonly blocked: string[] | null
  readonly resources: ResourceRow[] | null
}

interface SealedTrustLine extends TrustLine {
  readonly head: { readonly key: string; readonly content: string; readonly mac: string } | null
  readonly nodes: Record<string, string> | null
}

export async function loadTrust(pool: Pool): Promise<LoadedTrust> {
  const { rows } = await pool.query<TrustLine>({ name: 'registry_trust', text: trustStatement, values: [] })
  const { version, issuers, blocked, resources } = toRows(rows[0])
  const trust = {
    issuers: new Map(issuers.map((row) => [row.issuer, toIssuer(row)])),
    blocked: new Set(blocked),
    resources: new Map(resources.map((row) => [row.audience, toResource(row)])),
  }
  return { version, trust }
}

export async function loadSealedTrustRows(pool: Pool): Promise<SealedTrustRows> {
  const { rows } = await pool.query<SealedTrustLine>({
    name: 'registry_sealed_trust',
    text: sealedTrustStatement,
    values: [],
  })
  const [line] = rows
  const { head } = line ?? {}
  return {
    ...toRows(line),
    head: head
      ? { keyEncryptionKeyId: head.key, content: head.content, mac: Buffer.from(head.mac, 'hex') }
      : undefined,
    nodes: new Map(Object.entries(line?.nodes ?? {})),
  }
}

function toRows(line: TrustLine | undefined): TrustRows {
  if (line === undefined) throw new Error('the registry has no version row')
  return {
    version: readVersion(line.version),
    issuers: line.issuers ?? [],
    blocked: line.blocked ?? [],
    resources: line.resources ?? [],
  }
}
