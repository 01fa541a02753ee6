import type { KeyEncryptionKeySource } from '../keys/key-encryption-key.ts'
import { SealGuard } from './seal-guard.ts'
import { type SealProblem, SealProblems } from './seal-problems.ts'
import { SealReview, type SealReviewOptions } from './seal-review.ts'
import type { SealReads } from './seal-store.ts'

export interface SealedRegistryOptions {
  readonly reads: SealReads
  readonly keyEncryptionKeys: KeyEncryptionKeySource
  /** Told of rows that give more than was registered, once. */
  readonly onFound: (problems: readonly SealProblem[]) => void
  readonly onFault: (error: unknown) => void
}

export interface SealedRegistry {
  /** Judges rows when they are read. Undefined if the registry is not sealed. */
  readonly guard: SealGuard | undefined
  /** Starts to look through the rows that nobody asks for. */
  readonly watch: (registry: SealReviewOptions['registry']) => {
    readonly problems: SealProblems
    readonly close: () => Promise<void>
  }
}

/** @throws AdministrationError if the registry is sealed and no part of it can be believed. */
export async function openSealedRegistry(
  isSealed: boolean,
  { reads, keyEncryptionKeys, onFound, onFault }: SealedRegistryOptions,
): Promise<SealedRegistry> {
  const problems = new SealProblems(onFound)
  const guard = isSealed ? new SealGuard({ reads, keyEncryptionKeys, problems }) : undefined
  await guard?.open()
  return {
    guard,
    watch(registry) {
      const review = guard && new SealReview({ reads, registry, problems, onFault })
      return { problems, close: async () => await review?.close() }
    },
  }
}
