import type { RegisteredClient } from '../../src/registry/client.ts'
import type { TrustRule } from '../../src/registry/issuer.ts'

/** What a rule of a trusted issuer is, if its registration says nothing else. */
export const ruleDefaults = {
  access: undefined,
  assertionAudience: 'issuer',
  assertionMaxAgeSeconds: 3_600,
  assertionUse: 'once',
  tokenLifetimeSeconds: undefined,
  allowDefaultServiceAccount: false,
  dangerouslyAnySubject: false,
} as const satisfies Partial<TrustRule>

/** An active client that may use any method and has nothing yet. */
export const clientDefaults = {
  status: 'active',
  tokenEndpointAuthMethod: undefined,
  allowedNetworks: [],
  expiresAt: undefined,
  secrets: new Map(),
  keys: [],
  assertionAudience: 'issuer',
  dpopBoundTokens: false,
  access: new Map(),
} as const satisfies Partial<RegisteredClient>
