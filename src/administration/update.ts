import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import { momentText } from '../lib/moment.ts'
import { type CertificateWords, fieldWords } from './certificate-words.ts'
import { findClient } from './client-store.ts'
import type { Registration, StoredClient } from './definition.ts'
import { refusalOf } from './mistake.ts'
import { parseClient } from './parse.ts'
import { type ClientStep, makePlan } from './plan.ts'
import { recordPlan } from './plan-records.ts'
import { lockRows, readState, writePlan } from './plan-store.ts'
import { changeSealed, type RegistryContext } from './sealing.ts'
import type { Seals } from './seals.ts'

/** Changes one client that exists, under the rules of a file. */

/** A client in the words of a file. */
export interface ClientWords extends CertificateWords {
  readonly client_id: string
  readonly name: string
  /** Left out: any method. */
  readonly token_endpoint_auth_method?: unknown
  readonly allowed_networks: readonly string[]
  readonly expires_at?: string
  readonly assertion_audience: string
  readonly dpop_bound_access_tokens: boolean
  readonly fapi?: boolean
  readonly jwks_uri?: string
  readonly access: readonly { readonly audience: string; readonly scopes: readonly string[] }[]
  readonly require_certificate?: CertificateWords
  readonly tls_client_certificate_bound_access_tokens?: boolean
  readonly claims?: Readonly<Record<string, unknown>>
  readonly owner?: string
  readonly purpose?: string
  readonly kind?: string
}

/**
 * Reads the client, lets the caller change it, and writes the difference, all in one transaction. So two of these at
 * the same time never undo each other.
 * @returns what was changed. The status of the client is not among it: it stays as it is.
 * @throws AdministrationError if there is no such client, or if it would break a rule. The paths of its mistakes
 * begin with a field of the client, or with `clients` and 0.
 */
export async function updateClient(
  context: RegistryContext,
  clientId: string,
  change: (words: ClientWords) => ClientWords,
): Promise<ClientStep> {
  const now = context.clock.nowMilliseconds()
  return await changeSealed(context, async (transaction, records, seals) => {
    await lockRows(transaction, { resources: [], clients: [{ clientId }] })
    const stored = await findClient(transaction, clientId, now)
    if (stored.status === 'deleted') throw new AdministrationError('client_deleted', { clientId })
    await seals.read(transaction, { clientIds: [clientId] })
    const { value, mistakes } = parseClient(change(wordsOf(seals.believedClient(stored))))
    if (value === undefined) throw refusalOf(mistakes)
    const plan = await carriedOut(transaction, { resources: [], clients: [value] }, now, seals)
    recordPlan(records, plan, new Map())
    return plan.clients[0] as ClientStep
  })
}

/**
 * Plans a registration without new clients, and writes it.
 * @param seals have read what is registered about it.
 */
export async function carriedOut(
  transaction: Queryable,
  registration: Registration,
  nowMilliseconds: number,
  seals: Seals,
) {
  const state = await readState(transaction, registration, nowMilliseconds)
  const { plan, mistakes } = makePlan(seals.withStatuses(registration), state)
  if (mistakes.length > 0) throw refusalOf(mistakes)
  await writePlan(transaction, plan, new Map())
  seals.setPlan(plan, new Map())
  return plan
}

function wordsOf(client: StoredClient): ClientWords {
  const method = client.tokenEndpointAuthMethod
  return {
    client_id: client.clientId,
    name: client.name,
    ...(method === undefined ? {} : { token_endpoint_auth_method: method }),
    allowed_networks: client.allowedNetworks,
    ...(client.expiresAt === undefined ? {} : { expires_at: momentText(client.expiresAt) }),
    assertion_audience: client.assertionAudience,
    ...fieldWords(client.certificateField),
    ...(client.requiredCertificate === undefined
      ? {}
      : { require_certificate: fieldWords(client.requiredCertificate) }),
    ...(client.certificateBoundTokens === true ? { tls_client_certificate_bound_access_tokens: true } : {}),
    dpop_bound_access_tokens: client.dpopBoundTokens,
    ...(client.fapi === true ? { fapi: true } : {}),
    ...(client.jwksUri === undefined ? {} : { jwks_uri: client.jwksUri }),
    ...(client.claims === undefined ? {} : { claims: client.claims }),
    access: client.access,
    ...(client.owner === undefined ? {} : { owner: client.owner }),
    ...(client.purpose === undefined ? {} : { purpose: client.purpose }),
    ...(client.kind === undefined ? {} : { kind: client.kind }),
  }
}

/** Adds scopes to what the client may ask for at a resource. Without scopes: tokens without scopes. */
export function granting(audience: string, scopes: readonly string[]) {
  return (words: ClientWords): ClientWords => {
    const before = words.access.find((access) => access.audience === audience)
    const others = words.access.filter((access) => access !== before)
    const together = [...new Set([...(before?.scopes ?? []), ...scopes])]
    return { ...words, access: [...others, { audience, scopes: together }] }
  }
}

/** Takes scopes away from what the client may ask for at a resource; without scopes, the whole access. */
export function removing(audience: string, scopes: readonly string[]) {
  return (words: ClientWords): ClientWords => {
    const before = words.access.find((access) => access.audience === audience)
    if (before === undefined) return words
    const others = words.access.filter((access) => access !== before)
    if (scopes.length === 0) return { ...words, access: others }
    const left = before.scopes.filter((scope) => !scopes.includes(scope))
    return { ...words, access: [...others, { audience, scopes: left }] }
  }
}
