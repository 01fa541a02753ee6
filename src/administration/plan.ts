import type { ClientKey } from '../authentication/client-key.ts'
import type { FieldChange } from '../ledger/change-records.ts'
import { optionalMoment } from '../lib/moment.ts'
import { certificateFieldNames } from '../registry/client.ts'
import { claimsText, type FixedClaims } from '../registry/fixed-claims.ts'
import {
  type AccessDefinition,
  type ClientDefinition,
  hasSecretByMethod,
  keyAuthMethods,
  type Registration,
  type ResourceDefinition,
  type StoredClient,
  type StoredKey,
} from './definition.ts'
import { clientFapiMistakes, resourceFapiMistakes, rulesOf } from './fapi-plan.ts'
import type { Mistake } from './mistake.ts'
import { accessMistakes, fieldChanges, type Status } from './plan-parts.ts'
import { unfitHolders, unfitResources } from './plan-tokens.ts'
import { type IssuerStep, planIssuers, rulesWith, type TrustState } from './trust-plan.ts'

/**
 * The difference between the registry as it is and as somebody wants it. Pure. It is made once before the secrets, to
 * see what has to be done, and again inside the transaction, where nobody can change anything meanwhile.
 */
export interface RegistryState {
  readonly resources: ReadonlyMap<string, ResourceDefinition>
  /** Those of the clients asked for that exist. */
  readonly clients: ReadonlyMap<string, StoredClient>
  /** What clients that the registration does not name may do at resources that it does. */
  readonly otherGrants: readonly OtherGrant[]
  /** Who has access to resources whose tokens not every client may fit. Left out: nobody. */
  readonly holders?: readonly Holder[]
  /** Left out: no issuer is trusted, and none is to be. */
  readonly trust?: TrustState | undefined
}

export interface OtherGrant {
  readonly clientId: string
  readonly isFapi?: boolean
  readonly audience: string
  readonly scopes: readonly string[]
}

/** A client that the registration does not name, with access to a resource that it does. */
export interface Holder {
  readonly clientId: string
  readonly audience: string
  readonly claims: FixedClaims | undefined
}

export interface ResourceStep {
  readonly definition: ResourceDefinition
  readonly status: Status
  readonly changes: readonly FieldChange[]
}

export interface AccessStep {
  readonly access: AccessDefinition
  readonly outcome: 'created' | 'changed' | 'deleted'
  readonly changes: readonly FieldChange[]
}

export interface KeyStep {
  readonly key: Omit<ClientKey, 'publicJwk'> & { readonly publicJwk?: ClientKey['publicJwk'] }
  readonly outcome: 'added' | 'changed' | 'revoked'
  readonly changes: readonly FieldChange[]
}

export interface ClientStep {
  readonly definition: ClientDefinition
  readonly status: Status
  readonly finalStatus: 'active' | 'disabled'
  /** Of the client itself; its access is apart. */
  readonly changes: readonly FieldChange[]
  readonly access: readonly AccessStep[]
  readonly keys: readonly KeyStep[]
  /** It is new and gets a secret. */
  readonly getsSecret: boolean
  /** It exists, and has nothing valid to prove itself with. It gets no secret by itself. */
  readonly lacksSecret: boolean
  /** It authenticates by a key, also that of a self-signed certificate, and has no valid one. */
  readonly lacksKey: boolean
}

export interface Plan {
  readonly resources: readonly ResourceStep[]
  readonly clients: readonly ClientStep[]
  readonly issuers: readonly IssuerStep[]
}

export function makePlan(
  definitions: Registration,
  state: RegistryState,
): { plan: Plan; mistakes: readonly Mistake[] } {
  const mistakes: Mistake[] = []
  const merged = new Map(state.resources)
  for (const resource of definitions.resources) merged.set(resource.audience, resource)
  const { issuers = [] } = definitions
  const trust: TrustState = state.trust ?? { issuers: new Map(), clientIds: new Set() }
  const plannedIssuers = new Set(issuers.map(({ issuer }) => issuer))
  const resources = definitions.resources.map((definition, index) => {
    const stored = state.resources.get(definition.audience)
    for (const scope of missingFrom(definition.scopes, stored?.scopes ?? [])) {
      const holders = [
        ...holdersOf(state.otherGrants, definition.audience, scope),
        ...rulesWith(trust.issuers.values(), plannedIssuers, definition.audience, scope),
      ]
      if (holders.length === 0) continue
      mistakes.push({ code: 'scope_in_use', path: ['resources', index, 'scopes'], scope, holders })
    }
    mistakes.push(...resourceFapiMistakes(definition, index, state.otherGrants))
    mistakes.push(...unfitHolders(definition, ['resources', index], state.holders ?? []))
    return planResource(definition, stored)
  })
  const clients = definitions.clients.map((definition, index) => {
    const stored = state.clients.get(definition.clientId)
    if (stored?.status === 'deleted') {
      const path = ['clients', index, 'client_id']
      mistakes.push({ code: 'client_id_taken', path, clientId: definition.clientId })
    }
    mistakes.push(
      ...accessMistakes(definition.access, ['clients', index], merged),
      ...unfitResources(definition, ['clients', index], merged),
      ...keyMistakes(definition, index, stored),
      ...(definition.fapi === true
        ? clientFapiMistakes(definition, index, stored, merged, rulesOf(trust, plannedIssuers))
        : []),
    )
    return planClient(definition, stored)
  })
  const clientIds = new Set([...trust.clientIds, ...definitions.clients.map(({ clientId }) => clientId)])
  const fapiClientIds = new Set(trust.fapiClientIds)
  for (const { clientId, fapi } of definitions.clients) {
    if (fapi === true) fapiClientIds.add(clientId)
    else fapiClientIds.delete(clientId)
  }
  const planned = planIssuers(issuers, { ...trust, clientIds, fapiClientIds }, merged)
  mistakes.push(...planned.mistakes)
  return { plan: { resources, clients, issuers: planned.steps }, mistakes }
}

function missingFrom(now: readonly string[], before: readonly string[]): string[] {
  return before.filter((scope) => !now.includes(scope))
}

/** Each once: a client may be among them for two reasons. */
function holdersOf(grants: readonly OtherGrant[], audience: string, scope: string): string[] {
  const holding = grants.filter((grant) => grant.audience === audience && grant.scopes.includes(scope))
  return [...new Set(holding.map(({ clientId }) => clientId))]
}

/** A revoked key stays revoked. Otherwise a file that is applied again would undo the revocation. */
function keyMistakes(
  { keys = [] }: ClientDefinition,
  index: number,
  stored: StoredClient | undefined,
): Mistake[] {
  return keys.flatMap(({ thumbprint }, at): Mistake[] => {
    const before = stored?.keys.find((key) => key.thumbprint === thumbprint)
    if (before?.state !== 'revoked') return []
    return [{ code: 'key_was_revoked', path: ['clients', index, 'jwks', 'keys', at], thumbprint }]
  })
}

function planResource(definition: ResourceDefinition, stored: ResourceDefinition | undefined): ResourceStep {
  if (stored === undefined) return { definition, status: 'created', changes: [] }
  const [from, to] = [fieldsOfResource(stored), fieldsOfResource(definition)]
  const changes = fieldChanges(
    ['name', stored.name, definition.name],
    ...(Object.keys(to) as (keyof typeof to)[]).map((field) => [field, from[field], to[field]] as const),
  )
  return { definition, status: changes.length === 0 ? 'unchanged' : 'changed', changes }
}

/** What a resource says, besides its names: as the records of changes have it. */
export function fieldsOfResource(resource: ResourceDefinition) {
  return {
    scopes: resource.scopes,
    token_lifetime: resource.tokenLifetimeSeconds,
    signing_algorithm: resource.signingAlgorithm,
    token_typ: resource.tokenTyp,
    external: resource.external === true,
    subject_form: resource.subjectForm ?? null,
    claims: claimsText(resource.claims) ?? null,
  }
}

function planClient(definition: ClientDefinition, stored: StoredClient | undefined): ClientStep {
  const before = stored?.status === 'disabled' ? 'disabled' : 'active'
  const finalStatus = definition.status ?? before
  const access = planAccess(definition.access, stored?.access ?? [])
  const keys = planKeys(definition.keys, stored?.keys ?? [])
  const { tokenEndpointAuthMethod: method } = definition
  const usesKey = method !== undefined && keyAuthMethods.includes(method)
  const usesSecret = hasSecretByMethod(method)
  const hasKey = hasValidKey(definition.keys ?? stored?.keys ?? []) || definition.jwksUri !== undefined
  const wants = { access, keys, getsSecret: stored === undefined && usesSecret, lacksKey: usesKey && !hasKey }
  if (stored === undefined) {
    return { definition, status: 'created', finalStatus, changes: [], ...wants, lacksSecret: false }
  }
  const changes = fieldChanges(
    ['name', stored.name, definition.name],
    [
      'token_endpoint_auth_method',
      stored.tokenEndpointAuthMethod ?? null,
      definition.tokenEndpointAuthMethod ?? null,
    ],
    ['status', stored.status, finalStatus],
    ['allowed_networks', stored.allowedNetworks, definition.allowedNetworks],
    ['expires_at', optionalMoment(stored.expiresAt), optionalMoment(definition.expiresAt)],
    ['assertion_audience', stored.assertionAudience, definition.assertionAudience],
    ...certificateChanges(stored, definition),
    ['dpop_bound_access_tokens', stored.dpopBoundTokens, definition.dpopBoundTokens],
    ['fapi', stored.fapi === true, definition.fapi === true],
    ['jwks_uri', stored.jwksUri ?? null, definition.jwksUri ?? null],
    ['claims', claimsText(stored.claims) ?? null, claimsText(definition.claims) ?? null],
    ['owner', stored.owner ?? null, definition.owner ?? null],
    ['purpose', stored.purpose ?? null, definition.purpose ?? null],
    ['kind', stored.kind ?? null, definition.kind ?? null],
  )
  const status = changes.length + access.length + keys.length === 0 ? 'unchanged' : 'changed'
  const lacksSecret =
    stored.validSecrets === 0 && usesSecret && !hasKey && definition.certificateField === undefined
  return { definition, status, finalStatus, changes, ...wants, lacksSecret }
}

type Named = Pick<ClientDefinition, 'certificateField' | 'requiredCertificate' | 'certificateBoundTokens'>

/** In the words of a file. */
function certificateChanges(stored: Named, wanted: Named) {
  const valueIn = ({ certificateField: field }: Named, name: string) =>
    field?.name === name ? field.value : null
  const asked = ({ requiredCertificate: field }: Named) => (field && `${field.name}=${field.value}`) ?? null
  const isBound = ({ certificateBoundTokens }: Named) => certificateBoundTokens === true
  return [
    ...certificateFieldNames.map((name) => [name, valueIn(stored, name), valueIn(wanted, name)] as const),
    ['require_certificate', asked(stored), asked(wanted)] as const,
    ['tls_client_certificate_bound_access_tokens', isBound(stored), isBound(wanted)] as const,
  ]
}

const hasValidKey = (keys: readonly (ClientKey | StoredKey)[]): boolean =>
  keys.some((key) => !('state' in key) || key.state === 'valid')

/** A list of keys is the whole truth about them; without one they stay as they are. */
function planKeys(wanted: readonly ClientKey[] | undefined, stored: readonly StoredKey[]): KeyStep[] {
  if (wanted === undefined) return []
  const steps: KeyStep[] = []
  for (const key of wanted) {
    const before = stored.find(({ thumbprint }) => thumbprint === key.thumbprint)
    if (before === undefined) steps.push({ key, outcome: 'added', changes: [] })
    else if (before.state !== 'revoked') {
      const changes = fieldChanges(
        ['kid', before.kid ?? null, key.kid ?? null],
        ['alg', before.algorithm, key.algorithm],
      )
      if (changes.length > 0) steps.push({ key, outcome: 'changed', changes })
    }
  }
  const isWanted = ({ thumbprint }: StoredKey) => wanted.some((key) => key.thumbprint === thumbprint)
  for (const key of stored) {
    if (key.state !== 'revoked' && !isWanted(key)) steps.push({ key, outcome: 'revoked', changes: [] })
  }
  return steps
}

function planAccess(wanted: readonly AccessDefinition[], stored: readonly AccessDefinition[]): AccessStep[] {
  const before = new Map(stored.map(({ audience, scopes }) => [audience, scopes]))
  const steps: AccessStep[] = []
  for (const access of wanted) {
    const scopes = before.get(access.audience)
    before.delete(access.audience)
    if (scopes === undefined) {
      steps.push({ access, outcome: 'created', changes: [] })
      continue
    }
    const changes = fieldChanges(['scopes', scopes, access.scopes])
    if (changes.length > 0) steps.push({ access, outcome: 'changed', changes })
  }
  // A registration is the whole truth about the clients it names.
  for (const [audience, scopes] of before) {
    steps.push({ access: { audience, scopes }, outcome: 'deleted', changes: [] })
  }
  return steps
}
