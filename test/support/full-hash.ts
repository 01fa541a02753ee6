import argon2 from 'argon2'

type Hash = typeof argon2.hash
/** A hash that costs less than it was asked for, and the one in whose place it stands. */
export type CheapHash = Hash & { readonly full: Hash }

/** What hashes at the cost that it is asked for, whether or not `cheap-hashes.ts` is set up here. */
export const fullHash = (): Hash => ('full' in argon2.hash ? (argon2.hash as CheapHash).full : argon2.hash)
