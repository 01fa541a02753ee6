import type { Queryable } from '../database/open.ts'
import { AdministrationError } from '../errors.ts'
import type { KeyEncryptionKeys } from '../keys/key-encryption-key.ts'
import type { ChangeRecords } from '../ledger/change-records.ts'
import { type ChangeContext, type ChangeOptions, changeRegistry } from '../ledger/change-store.ts'
import { currentHead, hasRegistrations, readHead } from '../registry/seal-store.ts'
import { Seals } from './seals.ts'

/**
 * A change of a sealed registry: it changes rows, and says the same in the tree of statements (seals.ts), in one
 * transaction.
 */
export interface Sealing {
  /** Those at hand; undefined if there are none. */
  readonly keyEncryptionKeys: () => KeyEncryptionKeys | undefined | Promise<KeyEncryptionKeys | undefined>
}

export interface RegistryContext extends ChangeContext {
  /** Undefined: the registry is not sealed. */
  readonly sealing?: Sealing | undefined
  /** Called when a registry that was sealed is changed without `sealing`: processes that seal believe no such change. */
  readonly onUnsealed?: (() => void) | undefined
}

/** The one way in which administration changes clients, secrets, access and resources. */
export async function changeSealed<Result>(
  context: RegistryContext,
  work: (transaction: Queryable, records: ChangeRecords, seals: Seals) => Promise<Result>,
  options: ChangeOptions = {},
): Promise<Result> {
  return await changeRegistry(
    context,
    async (transaction, records) => {
      const { sealing, onUnsealed } = context
      const seals = sealing === undefined ? new Seals() : await openSeals(transaction, sealing)
      if (sealing === undefined && onUnsealed !== undefined && (await readHead(transaction)) !== undefined)
        onUnsealed()
      const result = await work(transaction, records, seals)
      await seals.write(transaction, records)
      return result
    },
    options,
  )
}

/** What is sealed, for a plan that only shows. Where the key is not at hand, a plan can only go by the rows. */
export async function readableSeals(database: Queryable, sealing: Sealing | undefined): Promise<Seals> {
  const isOpen = sealing !== undefined && (await sealing.keyEncryptionKeys()) !== undefined
  return isOpen ? await openSeals(database, sealing) : new Seals()
}

/** @throws AdministrationError when there is no key, or no head that it opens. */
export async function sealingKeys(sealing: Sealing): Promise<KeyEncryptionKeys> {
  const keys = await sealing.keyEncryptionKeys()
  if (keys === undefined) throw new AdministrationError('registry_seal_key_unset', {})
  return keys
}

async function openSeals(transaction: Queryable, sealing: Sealing): Promise<Seals> {
  const keys = await sealingKeys(sealing)
  const head = await currentHead(transaction, keys)
  // If this change alone were sealed, everything else that is registered would have no effect.
  if (head === undefined && (await hasRegistrations(transaction))) {
    throw new AdministrationError('registry_seal_missing', {})
  }
  return new Seals({ head, keys })
}
