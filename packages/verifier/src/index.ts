/** Verifies Mintmark's access tokens. `createVerifier` is the way in; README.md begins with an example. */
export type { ClientCertificate, ClientCertificateSource } from './certificate.ts'
export type { AccessTokenClaims, Confirmation } from './claims.ts'
export { VerifyError, type VerifyErrorCode, verifyErrorCodes } from './errors.ts'
export type { Algorithm } from './keys.ts'
export type { VerifierOptions, VerifyEvent } from './options.ts'
export type { ProofOfPossession } from './proof.ts'
export {
  type Guard,
  type RequireTokenOptions,
  readAuthorization,
  requireToken,
  tokenOf,
} from './require-token.ts'
export type { ResourceMetadata } from './resource-metadata.ts'
export {
  createRequestVerifier,
  type RequestVerifier,
  type RequestVerifierOptions,
  type SignedRequest,
} from './signed-request.ts'
export { createVerifier, type Verifier, type VerifyContext } from './verifier.ts'
