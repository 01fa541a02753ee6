/**
 * Set up for tests of the whole service: a hash costs little in the process of the test, whoever makes it. Nearly all of
 * them check no hash for the sake of the hash. What hashes cost, `test/authentication/secret.test.ts` looks at.
 */
import argon2 from 'argon2'
import { type CheapHash, fullHash } from './full-hash.ts'

const full = fullHash()
const cheap = (secret: string, options: object): Promise<string> =>
  full(secret, { ...options, memoryCost: 64 })
argon2.hash = Object.assign(cheap, { full }) as CheapHash
