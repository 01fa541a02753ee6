import { type AccessTokenClaims, readClaims } from './claims.ts'
import { type JsonObject, readCompact, readJsonObject } from './compact.ts'
import { VerifyError } from './errors.ts'
import type { KeySource } from './key-source.ts'
import { type Algorithm, isSignedBy, type VerificationKey } from './keys.ts'
import { BoundedMap, ComesAgain, tokenName } from './memory.ts'

export interface TokenSettings {
  readonly issuer: string
  readonly audience: string
  readonly algorithms: readonly Algorithm[]
  /** Types of tokens in lower case. */
  readonly types: ReadonlySet<string>
  /** How many tokens are remembered. */
  readonly tokensRememberedMax: number
}

/** A token whose signature and claims are right, whenever it is used. */
interface ProvenToken {
  readonly claims: AccessTokenClaims
  readonly kid: string
  readonly key: VerificationKey
}

/** Longer tokens are verified each time, so that what is remembered stays small. */
const rememberedCharactersMax = 4_096
const headersRememberedMax = 16

/**
 * Reads what tokens say, of those that the issuer signed for the audience. It does not look at the clock: the times in
 * the claims are checked at each use.
 */
export function createTokenReader(
  settings: TokenSettings,
  keys: KeySource,
): (token: string) => Promise<AccessTokenClaims> {
  const remembered = new BoundedMap<ProvenToken>(settings.tokensRememberedMax)
  const comesAgain = new ComesAgain()
  /** Headers of tokens that were proven. All tokens of one key have the same. */
  const headers = new BoundedMap<JsonObject>(headersRememberedMax)

  const isType = (typ: unknown): boolean => typeof typ === 'string' && settings.types.has(typ.toLowerCase())

  async function prove(token: string): Promise<ProvenToken> {
    const { algorithms } = settings
    const { payload, kid, key } = await verifySignature(token, { algorithms, isType, keys, headers })
    const claims = readClaims(readJsonObject(payload, 'token_malformed'), settings)
    return { claims: deepFrozen(claims), kid, key }
  }

  /** A token that was proven before is believed while its key is the one that the issuer publishes. */
  function recall(name: string): ProvenToken | undefined {
    const found = remembered.get(name)
    if (found === undefined || keys.known(found.kid) === found.key) return found
    remembered.delete(name)
    return undefined
  }

  return async (token) => {
    if (
      typeof token !== 'string' ||
      token.length > rememberedCharactersMax ||
      settings.tokensRememberedMax === 0
    )
      return (await prove(token)).claims
    const name = tokenName(token)
    const known = recall(name)
    if (known !== undefined) return known.claims
    const proven = await prove(token)
    if (comesAgain.note(name)) remembered.set(name, proven)
    return proven.claims
  }
}

export interface SignatureSettings {
  readonly algorithms: readonly Algorithm[]
  /** Whether the `typ` of a header is one that is meant. */
  readonly isType: (typ: unknown) => boolean
  readonly keys: KeySource
  readonly headers: BoundedMap<JsonObject>
}

/** What was signed with a key of the issuer. Keys in the header (`jwk`, `jku`, `x5c`, `x5u`) are not looked at. */
export async function verifySignature(
  token: string,
  { algorithms, isType, keys, headers }: SignatureSettings,
) {
  const { headerText, header, signed, payload, signature } = readCompact(token, 'token_malformed', headers)
  const { alg, typ, kid } = header
  if ('crit' in header || 'b64' in header) throw new VerifyError('header_unsupported')
  if (!algorithms.some((algorithm) => algorithm === alg)) throw new VerifyError('algorithm_not_allowed')
  if (!isType(typ)) throw new VerifyError('type_wrong')
  // Nobody waits who need not: this is the usual way.
  const key = (typeof kid === 'string' ? keys.known(kid) : undefined) ?? (await keys.find(kid))
  if (key.algorithm !== alg) throw new VerifyError('algorithm_not_allowed')
  if (!isSignedBy(key, signed, signature)) throw new VerifyError('signature_wrong')
  headers.set(headerText, header)
  return { payload, kid: kid as string, key }
}

/** Claims are remembered, so nobody may change them. */
function deepFrozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const item of Object.values(value)) deepFrozen(item)
  }
  return value
}
