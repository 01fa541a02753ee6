import { z } from 'zod'
import { readMoment } from '../lib/moment.ts'
import { limits } from '../limits.ts'
import type { FixedClaims } from '../registry/fixed-claims.ts'
import { fieldIn } from './certificate-words.ts'
import {
  type ClientDefinition,
  defaults,
  externalDefaults,
  type IssuerDefinition,
  type Registration,
  type ResourceDefinition,
} from './definition.ts'
import { explained } from './explained.ts'
import type { Mistake, MistakeCode, Path, ValueKind } from './mistake.ts'
import {
  clientKey,
  keysNamedTwice,
  namedTwice,
  ruleAccessNamedTwice,
  rulesNamedTwice,
} from './named-twice.ts'
import { type ClientInput, type ResourceInput, schemas } from './registration.ts'
import { toIssuer } from './trust-definition.ts'

/**
 * From values that anybody may have written to definitions, or to everything that is wrong with them. The schema
 * decides (registration.ts); here its findings become mistakes with the fields that explain them.
 */
export interface Parsed<Value> {
  /** Undefined when there are mistakes. */
  readonly value: Value | undefined
  readonly mistakes: readonly Mistake[]
}

/** After so many mistakes it is not worth looking for more. */
const mistakesMax = 1_000

/** What a registration holds, its entries not looked at yet. */
const entries = schemas.registration.extend({
  resources: z.array(z.unknown()).default([]),
  clients: z.array(z.unknown()).default([]),
  trust: z
    .array(z.unknown())
    .max(limits.trustedIssuersMax, 'list_too_long' satisfies MistakeCode)
    .default([]),
})

/** What could be read of a registration with mistakes, so that the rest of it can be judged too. */
export interface ReadablePart extends Registration {
  /** Which entries of the registration these are. */
  readonly resourceIndexes: readonly number[]
  readonly clientIndexes: readonly number[]
  readonly issuerIndexes: readonly number[]
  /** What is named by entries that could not be read. */
  readonly unread: {
    readonly audiences: ReadonlySet<unknown>
    readonly clientIds: ReadonlySet<unknown>
    readonly issuers: ReadonlySet<unknown>
  }
}

export function parseRegistration(root: unknown): Parsed<Registration> & { readonly part: ReadablePart } {
  const outline = entries.safeParse(root)
  const mistakes: Mistake[] = outline.success ? [] : mistakesOf(outline.error, root, [])
  if (isMapping(root) && Object.keys(root).length === 0) {
    mistakes.push({ code: 'registration_empty', path: [], known: keysOf(schemas.registration) })
  }
  // Entries are also looked at when something else is wrong: all mistakes are told at once.
  const resources = parseEntries(root, 'resources', schemas.resource, 'audience', mistakes)
  const clients = parseEntries(root, 'clients', schemas.client, 'client_id', mistakes)
  const issuers = parseEntries(root, 'trust', schemas.issuer, 'issuer', mistakes)
  mistakes.push(...rulesNamedTwice(root))
  const value = {
    resources: resources.map(({ entry }) => toResource(entry)),
    clients: clients.map(({ entry }) => toClient(entry)),
    issuers: issuers.map(({ entry }) => toIssuer(entry)),
  }
  const [resourceIndexes = [], clientIndexes = [], issuerIndexes = []] = [resources, clients, issuers].map(
    (list) => list.map(({ index }) => index),
  )
  const unread = {
    audiences: unreadOf(root, 'resources', 'audience', resourceIndexes),
    clientIds: unreadOf(root, 'clients', 'client_id', clientIndexes),
    issuers: unreadOf(root, 'trust', 'issuer', issuerIndexes),
  }
  const part = { ...value, resourceIndexes, clientIndexes, issuerIndexes, unread }
  return { value: mistakes.length > 0 ? undefined : value, mistakes, part }
}

function unreadOf(
  root: unknown,
  key: 'resources' | 'clients' | 'trust',
  id: string,
  indexes: readonly number[],
): ReadonlySet<unknown> {
  const list = isMapping(root) ? root[key] : undefined
  if (!Array.isArray(list)) return new Set()
  const read = new Set(indexes)
  const unread = list.filter((_, index) => !read.has(index))
  return new Set(unread.map((entry) => (isMapping(entry) ? entry[id] : undefined)))
}

/** One client by itself. Paths begin with its keys. */
export function parseClient(value: unknown): Parsed<ClientDefinition> {
  const result = schemas.client.safeParse(value)
  const mistakes = result.success ? [] : mistakesOf(result.error, value, [], schemas.client)
  mistakes.push(...namedTwice(value, 'access', 'audience', []), ...keysNamedTwice(value, []))
  return { value: result.success && mistakes.length === 0 ? toClient(result.data) : undefined, mistakes }
}

/** One resource by itself. Paths begin with its keys. */
export function parseResource(value: unknown): Parsed<ResourceDefinition> {
  const result = schemas.resource.safeParse(value)
  if (result.success) return { value: toResource(result.data), mistakes: [] }
  return { value: undefined, mistakes: mistakesOf(result.error, value, [], schemas.resource) }
}

/** One issuer by itself. Paths begin with its keys. */
export function parseIssuer(value: unknown): Parsed<IssuerDefinition> {
  const result = schemas.issuer.safeParse(value)
  const mistakes = result.success ? [] : mistakesOf(result.error, value, [], schemas.issuer)
  mistakes.push(...namedTwice(value, 'rules', 'rule', []), ...ruleAccessNamedTwice(value, []))
  return { value: result.success && mistakes.length === 0 ? toIssuer(result.data) : undefined, mistakes }
}

/** One by one, because a list of a million wrong ones must not become a million mistakes. */
function parseEntries<Entry>(
  root: unknown,
  key: 'resources' | 'clients' | 'trust',
  schema: z.ZodType<Entry>,
  id: string,
  mistakes: Mistake[],
): { readonly entry: Entry; readonly index: number }[] {
  const list = isMapping(root) ? root[key] : undefined
  if (!Array.isArray(list)) return []
  const parsed: { entry: Entry; index: number }[] = []
  for (const [index, value] of list.entries()) {
    if (mistakes.length >= mistakesMax) return []
    const at = [key, index]
    const result = schema.safeParse(value)
    if (result.success) parsed.push({ entry: result.data, index })
    else mistakes.push(...mistakesOf(result.error, value, at, schema))
    if (key === 'clients') {
      mistakes.push(...namedTwice(value, 'access', 'audience', at), ...keysNamedTwice(value, at))
    } else if (key === 'trust') mistakes.push(...ruleAccessNamedTwice(value, at))
  }
  mistakes.push(...namedTwice(root, key, id, []))
  mistakes.splice(mistakesMax)
  return parsed
}

function mistakesOf(
  error: z.ZodError,
  root: unknown,
  at: Path,
  schema: z.ZodType = schemas.registration,
): Mistake[] {
  return error.issues.flatMap((issue): Mistake[] => {
    const inner = issue.path as Path
    const path = [...at, ...inner]
    const value = valueAt(root, inner)
    if (issue.code === 'unrecognized_keys') {
      const known = keysOf(schemaAt(schema, inner))
      return issue.keys.map((key) => ({
        code: 'key_unknown',
        path: [...path, key],
        isKey: true,
        key,
        known,
      }))
    }
    if (value === undefined && inner.length > 0) {
      return [{ code: 'key_missing', path: path.slice(0, -1), key: String(inner.at(-1)) }]
    }
    const expected = expectedKind(issue)
    if (expected !== undefined && expected !== kindOf(value)) {
      const known = expected === 'mapping' ? { known: keysOf(schemaAt(schema, inner)) } : {}
      return [{ code: 'kind_wrong', path, expected, found: kindOf(value), ...known }]
    }
    const code = issue.message as keyof typeof explained
    const whole = valueAt(root, inner.slice(0, -1))
    return [{ code, path, ...explained[code](value as never, issue, whole) } as Mistake]
  })
}

const kinds: Readonly<Record<string, ValueKind>> = {
  string: 'text',
  array: 'list',
  object: 'mapping',
  record: 'mapping',
  number: 'number',
  int: 'number',
  boolean: 'boolean',
}

/** The kind of value that the schema wanted to see, if that is what it complains about. */
function expectedKind(issue: z.core.$ZodIssue): ValueKind | undefined {
  if (issue.code === 'invalid_value') return 'text'
  return issue.code === 'invalid_type' ? kinds[issue.expected] : undefined
}

function kindOf(value: unknown): ValueKind {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'list'
  if (typeof value === 'string') return 'text'
  if (typeof value === 'boolean' || typeof value === 'number') return typeof value as ValueKind
  return 'mapping'
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return kindOf(value) === 'mapping'
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root
  for (const step of path) value = (value as Record<string | number, unknown> | undefined)?.[step]
  return value
}

/** The part of the schema that judges what is at a path. */
function schemaAt(schema: z.ZodType, path: Path): z.ZodType {
  let part = unwrapped(schema)
  for (const step of path) {
    if (part instanceof z.ZodObject) part = unwrapped(part.shape[step] as z.ZodType)
    else if (part instanceof z.ZodArray) part = unwrapped(part.element as z.ZodType)
  }
  return part
}

function unwrapped(schema: z.ZodType): z.ZodType {
  let inner = schema
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodOptional) inner = inner.unwrap() as z.ZodType
  return inner
}

function keysOf(schema: z.ZodType): readonly string[] {
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : []
}

function toResource(input: ResourceInput): ResourceDefinition {
  const { audience, name = audience, scopes, token_lifetime: tokenLifetimeSeconds } = input
  const byDefault = input.external ? externalDefaults : defaults
  return {
    audience,
    name,
    scopes,
    tokenLifetimeSeconds,
    signingAlgorithm: input.signing_algorithm ?? byDefault.signingAlgorithm,
    tokenTyp: input.token_typ ?? byDefault.tokenTyp,
    ...(input.external ? { external: true } : {}),
    subjectForm: input.subject_form,
    claims: toClaims(input.claims),
  }
}

/** An empty mapping says as much as none. The schema has judged it. */
function toClaims(claims: unknown): FixedClaims | undefined {
  const mapping = claims as FixedClaims | undefined
  return mapping === undefined || Object.keys(mapping).length === 0 ? undefined : mapping
}

function toClient(input: ClientInput): ClientDefinition {
  const { client_id: clientId, name = clientId, status, access, expires_at: expiresAt } = input
  const method = input.token_endpoint_auth_method
  return {
    clientId,
    name,
    tokenEndpointAuthMethod: method === 'any' ? undefined : method,
    allowedNetworks: input.allowed_networks,
    expiresAt: expiresAt === undefined ? undefined : readMoment(expiresAt),
    status,
    access,
    keys: input.jwks?.keys.flatMap((jwk) => clientKey(jwk) ?? []),
    assertionAudience: input.assertion_audience,
    certificateField: fieldIn(input),
    requiredCertificate: input.require_certificate && fieldIn(input.require_certificate),
    certificateBoundTokens: input.tls_client_certificate_bound_access_tokens,
    dpopBoundTokens: input.dpop_bound_access_tokens,
    ...(input.fapi ? { fapi: true } : {}),
    jwksUri: input.jwks_uri,
    claims: toClaims(input.claims),
    owner: input.owner,
    purpose: input.purpose,
    kind: input.kind,
  }
}
