import { calculateJwkThumbprint, type JWK } from 'jose'
import type { AccessTokenClaims } from './claims.ts'
import { isMoment } from './claims.ts'
import { type JsonObject, readCompact, readJsonObject } from './compact.ts'
import { VerifyError } from './errors.ts'
import { type Algorithm, algorithmNamed, isSignedBy, readPublicKey } from './keys.ts'
import { type ReplayMemory, tokenHash } from './memory.ts'

/** What a request shows beside a token that is bound to a key (RFC 9449 §7). */
export interface ProofOfPossession {
  /** The values of all `DPoP` headers of the request. */
  readonly proof: string | readonly string[] | undefined
  /** The method of the request. */
  readonly method: string
  /** The URL of the request as callers write it. Take its origin from your settings, never from the `Host` header. */
  readonly url: string | URL
}

/** Algorithms of proofs: those that Mintmark accepts for what clients sign. */
export const proofAlgorithms: readonly Algorithm[] = ['ES256', 'EdDSA', 'PS256']

/** How old a proof may be, in seconds. Callers make one for each request. */
const proofAgeSecondsMax = 60
const jtiCharactersMax = 256

export interface ProofSettings {
  readonly now: number
  readonly leewaySeconds: number
  readonly replays: ReplayMemory
}

/** Checks that the request was made by whoever has the key that the token is bound to (RFC 9449 §4.3, §7.1). */
export async function checkProof(
  token: string,
  { cnf }: AccessTokenClaims,
  { proof, method, url }: ProofOfPossession,
  settings: ProofSettings,
): Promise<void> {
  const jkt = cnf?.jkt
  if (jkt === undefined) throw new VerifyError('token_not_bound')
  const [text, ...others] = typeof proof === 'string' ? [proof] : (proof ?? [])
  if (text === undefined) throw new VerifyError('proof_missing')
  if (others.length > 0) throw new VerifyError('proof_malformed')
  const { jwk, claims } = readProof(text)
  const { now, leewaySeconds, replays } = settings
  if (claims.htm !== method) throw new VerifyError('proof_method_wrong')
  if (comparable(claims.htu) !== comparable(String(url))) throw new VerifyError('proof_url_wrong')
  if (!(claims.iat >= now - proofAgeSecondsMax && claims.iat <= now + leewaySeconds))
    throw new VerifyError('proof_time_wrong')
  if (claims.ath !== tokenHash(token)) throw new VerifyError('proof_token_wrong')
  if ((await calculateJwkThumbprint(jwk as JWK)) !== jkt) throw new VerifyError('proof_key_wrong')
  // A name among those of one key: else one client could use up the names of another.
  const claim = replays.claim(`${jkt} ${claims.jti}`, claims.iat + proofAgeSecondsMax, now)
  if (claim === 'replayed') throw new VerifyError('proof_replayed')
  if (claim === 'full') throw new VerifyError('replay_memory_full')
}

interface ProofClaims {
  readonly jti: string
  readonly htm: string
  readonly htu: string
  readonly iat: number
  readonly ath: string
}

/** A proof that whoever has the key in it has signed. */
function readProof(text: string): { jwk: JsonObject; claims: ProofClaims } {
  const { header, signed, payload, signature } = readCompact(text, 'proof_malformed')
  const { typ, alg, jwk } = header
  if ('crit' in header || 'b64' in header) throw new VerifyError('proof_malformed')
  if (typeof typ !== 'string' || typ.toLowerCase() !== 'dpop+jwt') throw new VerifyError('proof_type_wrong')
  const algorithm = proofAlgorithms.find((one) => one === algorithmNamed(alg))
  if (algorithm === undefined) throw new VerifyError('proof_algorithm_not_allowed')
  const key = readPublicKey(jwk, algorithm)
  if (key === undefined) throw new VerifyError('proof_key_invalid')
  if (!isSignedBy(key, signed, signature)) throw new VerifyError('proof_signature_wrong')
  return { jwk: jwk as JsonObject, claims: readProofClaims(readJsonObject(payload, 'proof_malformed')) }
}

function readProofClaims(payload: JsonObject): ProofClaims {
  const { jti, htm, htu, iat, ath } = payload
  if ([jti, htm, htu, iat, ath].includes(undefined)) throw new VerifyError('proof_claim_missing')
  const isValid =
    typeof jti === 'string' &&
    jti !== '' &&
    jti.length <= jtiCharactersMax &&
    typeof htm === 'string' &&
    typeof htu === 'string' &&
    URL.canParse(htu) &&
    typeof ath === 'string' &&
    isMoment(iat)
  if (!isValid) throw new VerifyError('proof_claim_invalid')
  return { jti, htm, htu, iat, ath }
}

/** A URL without query and fragment, so that equal ones are equal texts (RFC 9449 §4.3, RFC 3986 §6.2.2 and §6.2.3). */
function comparable(text: string): string {
  const url = new URL(text)
  url.search = ''
  url.hash = ''
  // URL lowers scheme and host, drops default ports and resolves dots. It leaves escapes as they are.
  url.pathname = url.pathname.replace(/%[0-9a-f]{2}/gi, (encoded) => {
    const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16))
    return /[A-Za-z0-9._~-]/.test(character) ? character : encoded.toUpperCase()
  })
  return url.href
}
