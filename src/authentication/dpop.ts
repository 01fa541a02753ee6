import { hash, type KeyObject } from 'node:crypto'
import type { SigningAlgorithm } from '../keys/signing-algorithm.ts'
import { boundedCache } from '../lib/bounded-cache.ts'
import { normalizedHttpUri } from '../lib/http-uri.ts'
import { limits } from '../limits.ts'
import type { RefusalReason } from '../refusals.ts'
import type { RegisteredClient } from '../registry/client.ts'
import { verifiers } from './assertion-signature.ts'
import { importKey } from './client-key.ts'
import type { DpopNonces, NonceState } from './dpop-nonces.ts'
import type { ParsedDpopProof } from './dpop-proof.ts'
import type { Proof } from './method.ts'

/**
 * Proof of possession (RFC 9449): the caller has the private key that its token is to be bound to. It does not
 * authenticate anybody: any key is accepted. Whoever uses the token later must have the same key.
 */
export interface ProvenPossession {
  /** The thumbprint of the key (RFC 7638): `jkt` in the token. */
  readonly thumbprint: string
  readonly algorithm: SigningAlgorithm
  readonly issuedAt: number
  /** Claims of any JWT, which a proof need not have. */
  readonly notBefore: number | undefined
  readonly expiresAt: number | undefined
  /** What is wrong with the proof itself, for every sender and time. */
  readonly refusal: RefusalReason | undefined
  /** Undefined where no nonces are asked for. */
  readonly nonce: NonceState | undefined
  /** A proof counts once. Its identifier is used up in the commit of the token. */
  readonly once: NonNullable<Proof['once']>
}

/** Checks proofs for a token endpoint. */
export class Dpop {
  readonly #uris: ReadonlySet<string>
  readonly #normalizedUris: ReadonlySet<string>
  readonly #keys = boundedCache<string, KeyObject>(limits.dpopKeysMax)
  /** Undefined: no nonces are asked for. */
  readonly nonces: DpopNonces | undefined

  /**
   * @param uris the URIs of the token endpoint. They never come from a request, because anybody can write its Host
   * header.
   */
  constructor(uris: readonly string[], nonces: DpopNonces | undefined) {
    this.#uris = new Set(uris)
    this.#normalizedUris = new Set(uris.flatMap((uri) => normalizedHttpUri(uri) ?? []))
    this.nonces = nonces
  }

  prove(proof: ParsedDpopProof): ProvenPossession {
    const { thumbprint, algorithm, jti, issuedAt, notBefore, nonce } = proof
    // The thumbprint has one length, so that no two pairs give the same bytes.
    const digest = hash('sha256', `dpop ${thumbprint}${jti}`, 'hex')
    const expiresAt = Math.ceil(issuedAt + limits.dpopProofAgeSecondsMax)
    return {
      thumbprint,
      algorithm,
      issuedAt,
      notBefore,
      expiresAt: proof.expiresAt,
      refusal: this.#refusalOf(proof),
      nonce: this.nonces?.check(nonce),
      once: { digest, expiresAt, reason: 'dpop_proof_replayed' },
    }
  }

  #refusalOf(proof: ParsedDpopProof): RefusalReason | undefined {
    const { algorithm, signedBytes, signature, htm, htu } = proof
    const key = this.#keyOf(proof)
    if (key === undefined) return 'dpop_key_unusable'
    if (!verifiers[algorithm](signedBytes, key, signature)) return 'dpop_signature_wrong'
    if (htm !== 'POST') return 'dpop_method_wrong'
    return this.#isOurs(htu) ? undefined : 'dpop_uri_wrong'
  }

  /** Importing a key costs as much as verifying a signature, and most callers use one key for all their proofs. */
  #keyOf(proof: ParsedDpopProof): KeyObject | undefined {
    const { thumbprint } = proof
    const known = this.#keys.get(thumbprint)
    if (known !== undefined) return known
    const key = importKey(proof)
    if (key !== undefined) this.#keys.set(thumbprint, key)
    return key
  }

  #isOurs(htu: string): boolean {
    return this.#uris.has(htu) || this.#normalizedUris.has(normalizedHttpUri(htu) ?? '')
  }
}

/**
 * Adds to what proves the client which key the caller has.
 * @param earlier from before the registry changed. It was verified once and stays true.
 */
export function withPossession(
  dpop: Dpop,
  dpopProof: ParsedDpopProof | undefined,
  proof: Proof,
  earlier: Proof | undefined,
): Proof {
  if (dpopProof === undefined) return proof
  return { ...proof, possession: earlier?.possession ?? dpop.prove(dpopProof) }
}

/** What counts once of what was presented. All of it is used up together, in the commit of the token. */
export function identifiersOf({ once, possession }: Proof) {
  return [once, possession?.once].filter((each) => each !== undefined)
}

const nonceRefusals: Readonly<Record<NonceState, RefusalReason | undefined>> = {
  right: undefined,
  missing: 'dpop_nonce_missing',
  wrong: 'dpop_nonce_wrong',
  expired: 'dpop_nonce_expired',
}

/**
 * Why a token may not be bound to the key of a proof now, or may not be issued without one; undefined when it may. `now` in
 * seconds since 1970. Pure.
 */
export function possessionRefusal(
  possession: ProvenPossession | undefined,
  client: Pick<RegisteredClient, 'dpopBoundTokens' | 'fapi'>,
  now: number,
): RefusalReason | undefined {
  if (possession === undefined) return client.dpopBoundTokens ? 'dpop_proof_missing' : undefined
  const { refusal, issuedAt, notBefore = 0, expiresAt, nonce } = possession
  if (refusal !== undefined) return refusal
  if (issuedAt <= now - limits.dpopProofAgeSecondsMax) return 'dpop_proof_expired'
  if (issuedAt > now + limits.dpopProofLeewaySeconds) return 'dpop_proof_not_yet_valid'
  if (client.fapi === true) {
    // RFC 9449 does not require these two. FAPI 2.0 requires them of every JWT.
    if (notBefore > now + limits.dpopProofLeewaySeconds) return 'dpop_proof_not_yet_valid'
    if (expiresAt !== undefined && expiresAt <= now) return 'dpop_proof_expired'
  }
  return nonce && nonceRefusals[nonce]
}
