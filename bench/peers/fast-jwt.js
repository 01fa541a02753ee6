import { createVerifier } from 'fast-jwt'

/**
 * A peer of the verifier. It is installed in this directory, so it is imported from here, and has types only then.
 * @type {(options: object) => (token: string) => unknown}
 */
export const createFastJwtVerifier = createVerifier
