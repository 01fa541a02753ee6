import { isSigningAlgorithm } from '../keys/signing-algorithm.ts'
import { readMoment } from '../lib/moment.ts'
import { didYouMean } from '../lib/suggest.ts'
import { limits } from '../limits.ts'
import {
  type AccessDefinition,
  type ClientDefinition,
  defaults,
  type Mistake,
  type Path,
  type ResourceDefinition,
} from './definition.ts'
import { Reader, TooMuch } from './seed-reader.ts'
import {
  type Problem,
  problemWithAudience,
  problemWithAuthMethod,
  problemWithClientId,
  problemWithCount,
  problemWithMoment,
  problemWithName,
  problemWithNetwork,
  problemWithScope,
  problemWithSigningAlgorithm,
  problemWithTokenLifetime,
} from './validate.ts'

/** What a seed file says, once it is known to make sense by itself. */
export interface SeedDefinitions {
  readonly resources: readonly ResourceDefinition[]
  readonly clients: readonly ClientDefinition[]
}

/**
 * From the values of a file to definitions, with every mistake on the way.
 * @param written how a scalar is spelled in the file, for messages about 007 and yes.
 */
export function readDefinitions(
  root: unknown,
  written: (path: Path) => string | undefined,
): { definitions: SeedDefinitions; mistakes: readonly Mistake[] } {
  const reader = new Reader(written)
  const definitions: SeedDefinitions = { resources: [], clients: [] }
  try {
    const file = reader.map(root, [], ['resources', 'clients'])
    if (file === undefined) return { definitions, mistakes: reader.mistakes }
    if (file.size === 0) reader.note([], 'is empty; it needs "resources", "clients" or both')
    const resources = reader.each(file, [], 'resources', readResource, [
      'audience',
      (entry) => entry.audience,
    ])
    const clients = reader.each(file, [], 'clients', readClient, ['client_id', (entry) => entry.clientId])
    return { definitions: { resources, clients }, mistakes: reader.mistakes }
  } catch (error) {
    if (!(error instanceof TooMuch)) throw error
    return { definitions, mistakes: reader.mistakes }
  }
}

function readResource(value: unknown, path: Path, reader: Reader): ResourceDefinition | undefined {
  const map = reader.map(value, path, ['audience', 'name', 'scopes', 'token_lifetime', 'signing_algorithm'])
  if (map === undefined) return undefined
  const audience = reader.text(map, path, 'audience', problemWithAudience)
  if (audience === undefined) reader.needs(map, path, 'audience', 'https://orders.example.com')
  const name = reader.text(map, path, 'name', problemWithName)
  const lifetime = reader.number(map, path, 'token_lifetime', problemWithTokenLifetime)
  const algorithm = reader.text(map, path, 'signing_algorithm', problemWithSigningAlgorithm)
  return {
    audience: audience ?? '',
    name: name ?? audience ?? '',
    scopes: readScopes(reader, map, path),
    tokenLifetimeSeconds: lifetime ?? defaults.tokenLifetimeSeconds,
    signingAlgorithm:
      algorithm !== undefined && isSigningAlgorithm(algorithm) ? algorithm : defaults.signingAlgorithm,
  }
}

const clientKeys = [
  'client_id',
  'name',
  'token_endpoint_auth_method',
  'status',
  'allowed_networks',
  'expires_at',
  'access',
]

function readClient(value: unknown, path: Path, reader: Reader): ClientDefinition | undefined {
  const map = reader.map(value, path, clientKeys)
  if (map === undefined) return undefined
  const clientId = reader.text(map, path, 'client_id', problemWithClientId)
  if (clientId === undefined) reader.needs(map, path, 'client_id', 'billing')
  const method = reader.text(map, path, 'token_endpoint_auth_method', problemWithAuthMethod)
  const status = reader.text(map, path, 'status', problemWithStatus)
  const expiresAt = reader.text(map, path, 'expires_at', problemWithMoment)
  const access = reader.each(map, path, 'access', readAccess, ['audience', (entry) => entry.audience])
  reader.check([...path, 'access'], problemWithCount(access.length, limits.accessPerClientMax, 'entries'))
  return {
    clientId: clientId ?? '',
    name: reader.text(map, path, 'name', problemWithName) ?? clientId ?? '',
    tokenEndpointAuthMethod: method ?? defaults.tokenEndpointAuthMethod,
    allowedNetworks: reader.texts(
      map,
      path,
      'allowed_networks',
      problemWithNetwork,
      limits.networksPerClientMax,
    ),
    expiresAt: expiresAt === undefined ? undefined : readMoment(expiresAt),
    status: status as ClientDefinition['status'],
    access,
  }
}

function readAccess(value: unknown, path: Path, reader: Reader): AccessDefinition | undefined {
  const map = reader.map(value, path, ['audience', 'scopes'])
  if (map === undefined) return undefined
  const audience = reader.text(map, path, 'audience', problemWithAudience)
  if (audience === undefined) reader.needs(map, path, 'audience', 'https://orders.example.com')
  // Left out it could mean none or all of them; neither is a thing to guess.
  reader.needs(map, path, 'scopes', '[orders:read], or [] for a token without scopes')
  return { audience: audience ?? '', scopes: readScopes(reader, map, path) }
}

function readScopes(reader: Reader, map: ReadonlyMap<unknown, unknown>, path: Path): readonly string[] {
  return reader.texts(map, path, 'scopes', problemWithScope, limits.scopesPerResourceMax)
}

function problemWithStatus(text: string): Problem {
  if (text === 'active' || text === 'disabled') return undefined
  if (text === 'deleted') {
    return 'a file deletes nobody, because that cannot be undone; use "bin/mintmark clients delete"'
  }
  return `must be active or disabled.${didYouMean(text, ['active', 'disabled'])}`
}
