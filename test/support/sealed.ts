/** What the tests of a sealed registry have in common. */
import { createClient } from '../../src/administration/create-client.ts'
import { createResource } from '../../src/administration/resource-store.ts'
import type { Sealing } from '../../src/administration/sealing.ts'
import type { SecretContext } from '../../src/administration/secret-store.ts'
import type { Database } from '../../src/database/open.ts'
import { keyEncryptionKey } from '../../src/keys/seal.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { invoices, orders, type TestClient, testKey } from './service.ts'

export const sealedSetting = { MINTMARK_SEALED_REGISTRY: 'yes' }

/** What an operator changes a sealed registry with. */
export function sealedContext(database: Database): SecretContext & { readonly sealing: Sealing } {
  return {
    database,
    clock: systemClock,
    actor: { by: 'a test' },
    tagMaker: undefined,
    sealing: { keyEncryptionKeys: () => [keyEncryptionKey(testKey)] },
  }
}

/** The resources of `registerResources`, by the commands' own way. */
export async function createResources(context: SecretContext): Promise<void> {
  await createResource(context, {
    audience: orders,
    name: 'Orders',
    scopes: ['orders:read', 'orders:write'],
    token_lifetime: 300,
  })
  await createResource(context, {
    audience: invoices,
    name: 'Invoices',
    scopes: ['invoices:read'],
    token_lifetime: 60,
  })
}

/** A client that may read orders from this machine by the header, and nothing else. */
export async function createTestClient(
  context: SecretContext,
  clientId: string,
  more: Partial<Parameters<typeof createClient>[1]> = {},
): Promise<TestClient> {
  const made = await createClient(context, {
    clientId,
    name: clientId,
    tokenEndpointAuthMethod: 'client_secret_basic',
    allowedNetworks: [],
    expiresAt: undefined,
    status: undefined,
    access: [{ audience: orders, scopes: ['orders:read'] }],
    keys: undefined,
    assertionAudience: 'issuer',
    dpopBoundTokens: false,
    ...more,
  })
  return { clientId, secretId: made?.secretId ?? '', secret: made?.secret ?? '' }
}
