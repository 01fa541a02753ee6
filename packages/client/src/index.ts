/** Gets Mintmark's access tokens. `createTokenSource` is the way in; README.md begins with an example. */
export { TokenError, type TokenErrorCode } from './errors.ts'
export type { FetchOptions } from './fetch.ts'
export type { PrivateKey, SigningAlgorithm } from './key.ts'
export { type RequestSigner, type SignableRequest, type SignatureMoment, signRequest } from './signature.ts'
export type { Time } from './time.ts'
export type { Grant } from './token-cache.ts'
export {
  type CallOptions,
  createTokenSource,
  type DiscoveringOptions,
  type Scopes,
  type TokenSource,
  type TokenSourceOptions,
} from './token-source.ts'
export type { CertificateFiles } from './transport.ts'
