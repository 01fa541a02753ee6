import { hash } from 'node:crypto'
import { networkWithin, parseNetwork } from '../lib/network.ts'
import type { CertificateField } from './client.ts'
import { claimsText } from './fixed-claims.ts'

/**
 * What was registered about a client or a resource by a holder of the key-encryption key, and what a row may make of it.
 *
 * A row can take away, but never give. Only what row and statement both say is in force: the fewer scopes, the earlier
 * end, the shorter lifetime. If they have nothing in common, nothing is in force. So a hand-written UPDATE that
 * disables counts at once, and one that grants has no effect.
 *
 * Names are for people and give nothing, so they are not here. The same is true for owner, purpose, kind and creator of
 * a client; a change of them by hand still gets a record in the ledger. Revoked secrets are not here either: a secret
 * that the statement does not have is not valid.
 */

/** Times in seconds since 1970; undefined: never. */
export interface ClientFacts {
  readonly status: 'active' | 'disabled' | 'deleted'
  /** Undefined: any method. */
  readonly tokenEndpointAuthMethod: string | undefined
  /** Empty: from anywhere. */
  readonly allowedNetworks: readonly string[]
  readonly expiresAt: number | undefined
  readonly access: readonly { readonly audience: string; readonly scopes: readonly string[] }[]
  /** What its assertions may name as audience. Undefined: the issuer only. */
  readonly assertionAudience?: 'issuer' | 'token_endpoint'
  /** What names it in its certificate. Undefined: no certificate does. */
  readonly certificateField?: CertificateField | undefined
  /** What its certificate must name in addition to its secret or assertion. Undefined: none is asked for. */
  readonly requiredCertificate?: CertificateField | undefined
  /** Undefined: its tokens are not bound to its certificate. */
  readonly certificateBoundTokens?: boolean
  /** Whether it gets only tokens that are bound to a key. Undefined: no. */
  readonly dpopBoundTokens?: boolean
  /** Whether it is held to the FAPI 2.0 Security Profile. Undefined: no. */
  readonly fapi?: boolean
  /** Where it publishes its keys. */
  readonly jwksUri?: string | undefined
  /** Claims of its tokens, as the row has them. A row that leaves one out may give more, so they are compared as a whole. */
  readonly claims?: object | undefined
}

export interface SecretFacts {
  readonly secretId: string
  /** argon2id in PHC form. */
  readonly hash: string
  readonly expiresAt: number | undefined
}

/** A public key of a client. Its thumbprint says which key it is; its `kid` is a name, and gives nothing. */
export interface KeyFacts {
  readonly thumbprint: string
  readonly algorithm: string
  readonly expiresAt: number | undefined
}

export interface ClientStatement extends ClientFacts {
  /** With a SHA-256 in the place of the hash. */
  readonly secrets: readonly SecretFacts[]
  /** Undefined: none. */
  readonly keys?: readonly KeyFacts[]
}

export interface ResourceFacts {
  readonly scopes: readonly string[]
  readonly tokenLifetimeSeconds: number
  readonly signingAlgorithm: string
  readonly tokenTyp: string
  /** Undefined: no. */
  readonly external?: boolean | undefined
  readonly subjectForm?: string | undefined
  /** `unreadable` is like no claims that were registered. */
  readonly claims?: object | 'unreadable' | undefined
}

/** What a row says that was not registered like that: the name of a column, or `secret` or `access` and which. */
export type Difference = string

/** No statement has this row. */
const unregistered: Difference = 'unregistered'

/** What is in force of a row. */
export interface Believed<Facts> {
  /** Undefined where row and statement have nothing in common. */
  readonly facts: Facts | undefined
  /** What the row would give. What it takes away is no difference. */
  readonly differences: readonly Difference[]
}

const ranks = { active: 0, disabled: 1, deleted: 2 } as const

export function believeClient(
  row: ClientFacts,
  statement: ClientStatement | undefined,
): Believed<ClientFacts> {
  if (statement === undefined) {
    // A row that gives nothing needs no statement.
    return { facts: undefined, differences: row.status === 'deleted' ? [] : [unregistered] }
  }
  const differences: Difference[] = []
  const note = (differs: boolean, difference: Difference): void => {
    if (differs) differences.push(difference)
  }
  const { status, tokenEndpointAuthMethod: method, expiresAt } = statement
  note(ranks[row.status] < ranks[status], 'status')
  note(isLater(row.expiresAt, expiresAt), 'expires_at')
  const isAudienceWider =
    row.assertionAudience === 'token_endpoint' && statement.assertionAudience !== 'token_endpoint'
  note(isAudienceWider, 'assertion_audience')
  note(method !== undefined && row.tokenEndpointAuthMethod !== method, 'token_endpoint_auth_method')
  const isBound = statement.dpopBoundTokens === true
  note(isBound && row.dpopBoundTokens !== true, 'dpop_bound_access_tokens')
  const isFapi = statement.fapi === true
  note(isFapi && row.fapi !== true, 'fapi')
  // Who names another place of keys names another client.
  const isElsewhere = row.jwksUri !== undefined && row.jwksUri !== statement.jwksUri
  note(isElsewhere, 'jwks_uri')
  const isOtherClaims = claimsText(row.claims) !== claimsText(statement.claims)
  note(isOtherClaims, 'claims')
  const networks = narrower(row.allowedNetworks, statement.allowedNetworks)
  note(networks.length < row.allowedNetworks.length || isWider(row, statement), 'allowed_networks')
  const certificates = believedCertificates(row, statement, differences)
  const access = believedAccess(row.access, statement.access, differences)
  const isContradicted =
    (method ?? row.tokenEndpointAuthMethod) !== (row.tokenEndpointAuthMethod ?? method) ||
    (networks.length === 0 && row.allowedNetworks.length > 0) ||
    certificates === undefined ||
    isOtherClaims
  if (isContradicted) return { facts: undefined, differences }
  const facts = {
    status: ranks[row.status] < ranks[status] ? status : row.status,
    tokenEndpointAuthMethod: method ?? row.tokenEndpointAuthMethod,
    allowedNetworks: row.allowedNetworks.length === 0 ? statement.allowedNetworks : networks,
    expiresAt: isLater(row.expiresAt, expiresAt) ? expiresAt : row.expiresAt,
    access,
    assertionAudience: isAudienceWider ? ('issuer' as const) : (row.assertionAudience ?? 'issuer'),
    ...certificates,
    dpopBoundTokens: isBound || row.dpopBoundTokens === true,
    ...(isFapi || row.fapi === true ? { fapi: true } : {}),
    jwksUri: isElsewhere ? undefined : row.jwksUri,
    claims: statement.claims,
  }
  return { facts, differences }
}

/**
 * A certificate proves a client only where row and statement name the same. One that it must bring in addition is asked for
 * by either of them, and no certificate can be what both ask for if they differ.
 * @returns undefined where they have nothing in common.
 */
function believedCertificates(
  row: ClientFacts,
  statement: ClientFacts,
  differences: Difference[],
): Pick<ClientFacts, 'certificateField' | 'requiredCertificate' | 'certificateBoundTokens'> | undefined {
  const { certificateField: own, requiredCertificate: asked, certificateBoundTokens: isBound = false } = row
  const { certificateField: ownBefore, requiredCertificate: askedBefore } = statement
  const isBoundBefore = statement.certificateBoundTokens === true
  if (own !== undefined && !isSameField(own, ownBefore)) differences.push('certificate')
  if (askedBefore !== undefined && !isSameField(asked, askedBefore)) differences.push('required_certificate')
  if (isBoundBefore && !isBound) differences.push('certificate_bound_tokens')
  if (asked !== undefined && askedBefore !== undefined && !isSameField(asked, askedBefore)) return undefined
  return {
    certificateField: isSameField(own, ownBefore) ? own : undefined,
    requiredCertificate: asked ?? askedBefore,
    certificateBoundTokens: isBound || isBoundBefore,
  }
}

const isSameField = (one: CertificateField | undefined, other: CertificateField | undefined): boolean =>
  one?.name === other?.name && one?.value === other?.value

const isWider = (row: ClientFacts, statement: ClientFacts): boolean =>
  row.allowedNetworks.length === 0 && statement.allowedNetworks.length > 0

function isLater(moment: number | undefined, than: number | undefined): boolean {
  return than !== undefined && (moment === undefined || moment > than)
}

/** The networks that were registered, or that are in one that was. */
function narrower(row: readonly string[], registered: readonly string[]): readonly string[] {
  if (registered.length === 0) return row
  return row.filter((text) => registered.includes(text) || registered.some((outer) => isWithin(text, outer)))
}

function isWithin(inner: string, outer: string): boolean {
  try {
    return networkWithin(parseNetwork(inner), parseNetwork(outer))
  } catch {
    // What cannot be read admits nobody.
    return true
  }
}

function believedAccess(
  row: ClientFacts['access'],
  registered: ClientFacts['access'],
  differences: Difference[],
): ClientFacts['access'] {
  const before = new Map(registered.map(({ audience, scopes }) => [audience, scopes]))
  return row.flatMap(({ audience, scopes }) => {
    const known = before.get(audience)
    const both = scopes.filter((scope) => known?.includes(scope))
    if (known === undefined || both.length < scopes.length) differences.push(`access ${audience}`)
    // Access without scopes is another thing than access that has lost its scopes.
    return known === undefined || (both.length === 0 && scopes.length > 0) ? [] : [{ audience, scopes: both }]
  })
}

interface SecretRow extends SecretFacts {
  readonly revokedAt: number | undefined
}

/** A revoked secret stays in, so that a caller that sends it is refused for that reason. */
export function believeSecrets<Row extends SecretRow>(
  rows: readonly Row[],
  statement: ClientStatement | undefined,
): { readonly secrets: readonly Row[]; readonly differences: readonly Difference[] } {
  const registered = new Map((statement?.secrets ?? []).map((secret) => [secret.secretId, secret]))
  const differences: Difference[] = []
  const secrets = rows.flatMap((row) => {
    if (row.revokedAt !== undefined) return [row]
    const known = registered.get(row.secretId)
    const isOther = known === undefined || known.hash !== secretHashOf(row.hash)
    if (isOther || isLater(row.expiresAt, known.expiresAt)) differences.push(`secret ${row.secretId}`)
    if (isOther) return []
    return [isLater(row.expiresAt, known.expiresAt) ? { ...row, expiresAt: known.expiresAt } : row]
  })
  return { secrets, differences }
}

interface KeyRow extends KeyFacts {
  readonly revokedAt: number | undefined
}

/** A key that was revoked stays in, as a secret does. */
export function believeKeys<Row extends KeyRow>(
  rows: readonly Row[],
  statement: ClientStatement | undefined,
): { readonly keys: readonly Row[]; readonly differences: readonly Difference[] } {
  const registered = new Map((statement?.keys ?? []).map((key) => [key.thumbprint, key]))
  const differences: Difference[] = []
  const keys = rows.flatMap((row) => {
    if (row.revokedAt !== undefined) return [row]
    const known = registered.get(row.thumbprint)
    const isOther = known === undefined || known.algorithm !== row.algorithm
    if (isOther || isLater(row.expiresAt, known.expiresAt)) differences.push(`client_key ${row.thumbprint}`)
    if (isOther) return []
    return [isLater(row.expiresAt, known.expiresAt) ? { ...row, expiresAt: known.expiresAt } : row]
  })
  return { keys, differences }
}

export function believeResource(
  row: ResourceFacts,
  statement: ResourceFacts | undefined,
): Believed<ResourceFacts> {
  if (statement === undefined) return { facts: undefined, differences: [unregistered] }
  const scopes = row.scopes.filter((scope) => statement.scopes.includes(scope))
  const isOtherAlgorithm = row.signingAlgorithm !== statement.signingAlgorithm
  const isOtherTyp = row.tokenTyp !== statement.tokenTyp
  // Who gets the tokens, whom they name and what they say beside.
  const others = [
    ...((row.external === true) !== (statement.external === true) ? ['external'] : []),
    ...(row.subjectForm !== statement.subjectForm ? ['subject_form'] : []),
    ...(resourceClaimsText(row) !== resourceClaimsText(statement) ? ['claims'] : []),
  ]
  const differences = [
    ...(scopes.length < row.scopes.length ? ['scopes'] : []),
    ...(row.tokenLifetimeSeconds > statement.tokenLifetimeSeconds ? ['token_lifetime_seconds'] : []),
    ...(isOtherAlgorithm ? ['signing_algorithm'] : []),
    ...(isOtherTyp ? ['token_typ'] : []),
    ...others,
  ]
  if (isOtherAlgorithm || isOtherTyp || others.length > 0) return { facts: undefined, differences }
  const tokenLifetimeSeconds = Math.min(row.tokenLifetimeSeconds, statement.tokenLifetimeSeconds)
  return { facts: { ...statement, scopes, tokenLifetimeSeconds }, differences }
}

const resourceClaimsText = ({ claims }: ResourceFacts): string | undefined =>
  claims === 'unreadable' ? claims : claimsText(claims)

/** Secrets are too long for a statement, and a hash of a hash says as much. */
export const secretHashOf = (secretHash: string): string => hash('sha256', secretHash, 'base64url')
