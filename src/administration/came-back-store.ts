import type { Queryable } from '../database/open.ts'
import { isOver, type ScheduleSettings } from '../keys/state.ts'
import { listKeys } from '../keys/store.ts'
import { accessKey, type ChangeRecord, type RegisteredState } from './came-back-state.ts'
import { ruleWords } from './trust-definition.ts'
import { keysShown, ruleFields } from './trust-plan.ts'
import { readIssuers } from './trust-store.ts'

/** Names in one query. The driver sends at most 65,535 parameters. */
const namesPerQuery = 5_000

/**
 * What is registered of the clients, resources and keys that the records name.
 * @param now seconds since 1970.
 */
export async function readNamed(
  database: Queryable,
  records: readonly ChangeRecord[],
  schedule: ScheduleSettings,
  now: number,
): Promise<RegisteredState> {
  const clientIds = named(records.map((record) => record.client_id))
  const audiences = named(records.map(({ audience }) => audience))
  const clients = await inParts(clientIds, (ids) =>
    database.client.findMany({ where: { clientId: { in: ids } } }),
  )
  const secrets = await inParts(clientIds, (ids) =>
    database.clientSecret.findMany({
      where: { clientId: { in: ids }, revokedAt: null },
      select: { secretId: true, expiresAt: true },
    }),
  )
  const clientKeys = await inParts(clientIds, (ids) =>
    database.clientKey.findMany({
      where: { clientId: { in: ids }, revokedAt: null },
      select: { clientId: true, thumbprint: true, expiresAt: true },
    }),
  )
  const access = await inParts(clientIds, (ids) =>
    database.access.findMany({ where: { clientId: { in: ids } } }),
  )
  const resources = await inParts(audiences, (ids) =>
    database.resource.findMany({ where: { audience: { in: ids } } }),
  )
  const keys = (await listKeys(database)).filter((key) => !isOver(key, schedule, now))
  return {
    clients: new Map(
      clients.map((row) => [
        row.clientId,
        {
          status: row.status,
          method: row.tokenEndpointAuthMethod ?? undefined,
          networks: row.allowedNetworks,
          expiresAt: row.expiresAt === null ? undefined : Math.floor(row.expiresAt.getTime() / 1_000),
          assertionAudience: row.assertionAudience,
          certificateField: row.certificateField ?? undefined,
          certificateValue: row.certificateValue ?? undefined,
          requiredCertificate:
            row.requiredField === null ? undefined : `${row.requiredField}=${row.requiredValue}`,
          certificateBoundTokens: row.certificateBoundTokens,
          dpopBoundTokens: row.dpopBoundTokens,
          fapi: row.fapi,
          jwksUri: row.jwksUri ?? undefined,
          claims: (row.claims ?? undefined) as object | undefined,
        },
      ]),
    ),
    liveSecrets: new Map(
      secrets
        .filter(({ expiresAt }) => expiresAt === null || expiresAt.getTime() > now * 1_000)
        .map(({ secretId, expiresAt }) => [
          secretId,
          expiresAt === null ? undefined : Math.floor(expiresAt.getTime() / 1_000),
        ]),
    ),
    liveClientKeys: new Set(
      clientKeys
        .filter(({ expiresAt }) => expiresAt === null || expiresAt.getTime() > now * 1_000)
        .map(({ clientId, thumbprint }) => accessKey(clientId, thumbprint)),
    ),
    access: new Map(access.map((row) => [accessKey(row.clientId, row.audience), row.scopes])),
    resources: new Map(
      resources.map((row) => [
        row.audience,
        {
          ...row,
          subjectForm: row.subjectForm ?? undefined,
          claims: (row.claims ?? undefined) as object | undefined,
        },
      ]),
    ),
    liveKeys: new Set(keys.map(({ kid }) => kid)),
    trust: await readTrust(database),
  }
}

/** All of it: there are few issuers. */
async function readTrust(database: Queryable): Promise<RegisteredState['trust']> {
  const issuers = [...(await readIssuers(database)).values()]
  const blocked = await database.blockedWorkload.findMany({ select: { workloadId: true } })
  return {
    issuers: new Map(issuers.map((each) => [each.issuer, { status: each.status, keys: keysShown(each) }])),
    rules: new Map(
      issuers.flatMap(({ issuer, rules }) =>
        rules.map((rule) => [rule.rule, { issuer, fields: ruleFields(ruleWords(rule)) }] as const),
      ),
    ),
    blockedWorkloads: new Set(blocked.map(({ workloadId }) => workloadId)),
  }
}

function named(names: readonly (string | null | undefined)[]): string[] {
  return [...new Set(names.filter((name): name is string => typeof name === 'string'))]
}

async function inParts<Row>(
  names: readonly string[],
  read: (part: string[]) => Promise<readonly Row[]>,
): Promise<Row[]> {
  const rows: Row[] = []
  for (let start = 0; start < names.length; start += namesPerQuery) {
    for (const row of await read(names.slice(start, start + namesPerQuery))) rows.push(row)
  }
  return rows
}
