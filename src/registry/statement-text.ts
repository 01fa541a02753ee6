import type { CertificateField, CertificateFieldName } from './client.ts'
import { claimsText } from './fixed-claims.ts'
import type { Statement, Subject } from './seal-tree.ts'
import type { ClientFacts, ClientStatement, ResourceFacts } from './statement.ts'

/**
 * The text of a statement in the tree of what was registered (seal-tree.ts). What a statement means is in statement.ts.
 *
 * A client that uses nothing from a later release keeps its text. Otherwise an upgrade would have to seal the whole
 * registry again.
 */

/** Everything is sorted, so that the same registration has the same text. */
export function clientStatement(clientId: string, client: ClientStatement): Statement {
  const byFirst = (one: readonly unknown[], other: readonly unknown[]): number =>
    String(one[0]) < String(other[0]) ? -1 : 1
  return [
    'client',
    clientId,
    client.status,
    client.tokenEndpointAuthMethod ?? null,
    [...client.allowedNetworks],
    client.expiresAt ?? null,
    client.secrets
      .map((secret) => [secret.secretId, secret.hash, secret.expiresAt ?? null])
      .toSorted(byFirst),
    client.access.map(({ audience, scopes }) => [audience, [...scopes]]).toSorted(byFirst),
    ...laterStatement(client),
    ...(claimsText(client.claims) === undefined ? [] : [claimsAt + claimsText(client.claims)]),
    ...(client.jwksUri === undefined ? [] : [keysAt + client.jwksUri]),
    ...(client.dpopBoundTokens === true ? [dpopBound] : []),
    ...(client.fapi === true ? [heldToFapi] : []),
  ]
}

/** Stands at the end of the text of a client whose tokens must be bound. The text of others stays what it was. */
const dpopBound = 'dpop_bound_access_tokens'

/** Stands behind that, for a client that is held to the FAPI profile. */
const heldToFapi = 'fapi'

/** Stands before both, and before the address, for a client that publishes its keys. */
const keysAt = 'jwks_uri '

/** The same for a client that has claims of its own. */
const claimsAt = 'claims '

/** Keys, and certificates after them. */
function laterStatement(client: ClientStatement): readonly unknown[] {
  const keys = keyStatement(client)
  const certificates = certificateStatement(client)
  if (certificates.length === 0) return keys
  return [...(keys.length === 0 ? [[], 'issuer'] : keys), certificates]
}

function certificateStatement(client: ClientStatement): readonly unknown[] {
  const {
    certificateField: own,
    requiredCertificate: asked,
    certificateBoundTokens: isBound = false,
  } = client
  if (own === undefined && asked === undefined && !isBound) return []
  return [own?.name ?? null, own?.value ?? null, asked?.name ?? null, asked?.value ?? null, isBound]
}

/** Empty for a client that has no keys. */
function keyStatement({ keys = [], assertionAudience = 'issuer' }: ClientStatement): readonly unknown[] {
  if (keys.length === 0 && assertionAudience === 'issuer') return []
  const texts = keys.map((key) => [key.thumbprint, key.algorithm, key.expiresAt ?? null])
  return [texts.toSorted((one, other) => (String(one[0]) < String(other[0]) ? -1 : 1)), assertionAudience]
}

type ClientText = [
  subject: Subject,
  clientId: string,
  status: ClientFacts['status'],
  method: string | null,
  networks: string[],
  expiresAt: number | null,
  secrets: [secretId: string, hash: string, expiresAt: number | null][],
  access: [audience: string, scopes: string[]][],
  keys?: [thumbprint: string, algorithm: string, expiresAt: number | null][],
  assertionAudience?: 'issuer' | 'token_endpoint',
  certificates?: CertificateText,
]

type CertificateText = [
  field: CertificateFieldName | null,
  value: string | null,
  askedField: CertificateFieldName | null,
  askedValue: string | null,
  isBound: boolean,
]

const noCertificates: CertificateText = [null, null, null, null, false]

function readCertificates([field, value, askedField, askedValue, isBound]: CertificateText) {
  const read = (name: CertificateFieldName | null, text: string | null): CertificateField | undefined =>
    name === null || text === null ? undefined : { name, value: text }
  return {
    certificateField: read(field, value),
    requiredCertificate: read(askedField, askedValue),
    certificateBoundTokens: isBound,
  }
}

export function readClientStatement(statement: Statement | undefined): ClientStatement | undefined {
  if (statement === undefined) return undefined
  const fapi = statement.at(-1) === heldToFapi
  const unheld = fapi ? statement.slice(0, -1) : statement
  const isBound = unheld.at(-1) === dpopBound
  const unbound = isBound ? unheld.slice(0, -1) : unheld
  const last = unbound.at(-1)
  const jwksUri = typeof last === 'string' && last.startsWith(keysAt) ? last.slice(keysAt.length) : undefined
  const withClaims = jwksUri === undefined ? unbound : unbound.slice(0, -1)
  const claims = claimsIn(withClaims.at(-1))
  const text = claims === undefined ? withClaims : withClaims.slice(0, -1)
  const [, , status, method, allowedNetworks, expiresAt, secrets, access, ...more] =
    text as unknown as ClientText
  const [keys = [], assertionAudience = 'issuer', certificates] = more
  return {
    status,
    tokenEndpointAuthMethod: method ?? undefined,
    allowedNetworks,
    expiresAt: expiresAt ?? undefined,
    secrets: secrets.map(([secretId, hash, ends]) => ({ secretId, hash, expiresAt: ends ?? undefined })),
    access: access.map(([audience, scopes]) => ({ audience, scopes })),
    keys: keys.map(([thumbprint, algorithm, ends]) => ({
      thumbprint,
      algorithm,
      expiresAt: ends ?? undefined,
    })),
    assertionAudience,
    ...readCertificates(certificates ?? noCertificates),
    dpopBoundTokens: isBound,
    ...(fapi ? { fapi } : {}),
    jwksUri,
    claims,
  }
}

function claimsIn(text: unknown): object | undefined {
  if (typeof text !== 'string' || !text.startsWith(claimsAt)) return undefined
  return JSON.parse(text.slice(claimsAt.length)) as object
}

export function resourceStatement(audience: string, resource: ResourceFacts): Statement {
  const { scopes, tokenLifetimeSeconds, signingAlgorithm, tokenTyp, external = false, subjectForm } = resource
  const claims = resource.claims === 'unreadable' ? 'unreadable' : claimsText(resource.claims)
  const isPlain = !external && subjectForm === undefined && claims === undefined
  const later = isPlain ? [] : [[external, subjectForm ?? null, claims ?? null]]
  return ['resource', audience, [...scopes], tokenLifetimeSeconds, signingAlgorithm, tokenTyp, ...later]
}

type ResourceText = [
  subject: Subject,
  audience: string,
  scopes: string[],
  lifetime: number,
  algorithm: string,
  typ: string,
  later?: [external: boolean, subjectForm: string | null, claims: string | null],
]

export function readResourceStatement(statement: Statement | undefined): ResourceFacts | undefined {
  if (statement === undefined) return undefined
  const [, , scopes, tokenLifetimeSeconds, signingAlgorithm, tokenTyp, later] =
    statement as unknown as ResourceText
  const facts = { scopes, tokenLifetimeSeconds, signingAlgorithm, tokenTyp }
  if (later === undefined) return facts
  const [external, form, text] = later
  const claims = text === null ? undefined : text === 'unreadable' ? text : (JSON.parse(text) as object)
  return { ...facts, external, subjectForm: form ?? undefined, claims }
}
