import { sealingKeys } from '../../administration/sealing.ts'
import type { RegisteredClient, RegisteredResource } from '../../registry/client.ts'
import type { TrustTable } from '../../registry/issuer.ts'
import { SealGuard } from '../../registry/seal-guard.ts'
import { SealProblems } from '../../registry/seal-problems.ts'
import { sealReads } from '../../registry/seal-store.ts'
import { loadClients } from '../../registry/store.ts'
import { loadTrust } from '../../registry/trust-store.ts'
import type { Connection } from './connect.ts'

export interface AdministeredTrust {
  readonly trust: TrustTable
  readonly clients: readonly RegisteredClient[]
  readonly resources: readonly RegisteredResource[]
}

/** What a process that serves on this database believes now of issuers, rules and some clients. */
export async function administeredTrust(
  { database, sealing }: Pick<Connection, 'database' | 'sealing'>,
  clientIds: readonly string[],
): Promise<AdministeredTrust> {
  if (sealing === undefined) {
    const { trust } = await loadTrust(database.readPool)
    return { trust, ...(await loadClients(database.readPool, clientIds)) }
  }
  const problems = new SealProblems(() => {})
  const keyEncryptionKeys = () => sealingKeys(sealing)
  const guard = new SealGuard({ reads: sealReads(database), keyEncryptionKeys, problems })
  await guard.open()
  const trust = (await guard.readTrust()).believe()
  return { trust, ...(await guard.read(clientIds)).believe() }
}
