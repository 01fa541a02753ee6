import { performance } from 'node:perf_hooks'
import type { VerifyErrorCode } from './errors.ts'
import type { RemoteKeysOptions } from './key-source.ts'
import { type Algorithm, algorithms as allAlgorithms, isAlgorithm } from './keys.ts'

/** One call of `verify`, for a log. */
export interface VerifyEvent {
  readonly outcome: 'verified' | VerifyErrorCode
  /** Undefined if it is not proven who the token is from. */
  readonly iss: string | undefined
  readonly sub: string | undefined
  readonly jti: string | undefined
  /** As `verify` was told. */
  readonly path: string | undefined
}

export interface VerifierOptions {
  /** The issuer, letter by letter as it stands in `iss`. Its keys are fetched from below it. */
  readonly issuer: string
  /** This service’s own audience, letter by letter as it stands in `aud`. */
  readonly audience: string
  /** What this service calls itself when it fetches keys, so that `keys rotate --plan` can name it. */
  readonly name?: string | undefined
  /** The algorithms that its tokens are signed with. Default: `['ES256']`. */
  readonly algorithms?: readonly Algorithm[] | undefined
  /** The type of its tokens: `JWT` only for a resource with `token_typ: JWT`. Default: `at+jwt`. */
  readonly type?: 'at+jwt' | 'JWT' | undefined
  /** Seconds by which clocks may differ, up to 30. Default: 10. */
  readonly leewaySeconds?: number | undefined
  /** Default: `/.well-known/jwks.json` below the issuer. */
  readonly jwksUri?: string | undefined
  /** A fixed JWK Set instead of the issuer’s. Then no key is ever replaced: for tests. */
  readonly keys?: unknown
  /** Seconds for which keys are used while the issuer cannot be reached, at most. Default: a day. */
  readonly keysKeptSecondsMax?: number | undefined
  /** How many verified tokens are remembered. 0 remembers none. Default: 10,000. */
  readonly tokensRememberedMax?: number | undefined
  /** How many DPoP proofs are remembered. When they are full, proofs are refused. Default: 100,000. */
  readonly proofsRememberedMax?: number | undefined
  /** Where callers find this service, for proofs and for the protected-resource document. Default: from the audience. */
  readonly origin?: string | undefined
  /** The scopes that this service knows. If they are set, refusals say where the protected-resource document is. */
  readonly scopesSupported?: readonly string[] | undefined
  /** Called after each token that was accepted. */
  readonly onVerified?: ((event: VerifyEvent) => void) | undefined
  /** Called after each token that was refused. */
  readonly onRefused?: ((event: VerifyEvent) => void) | undefined
  /** Called when keys could not be fetched. Tokens are verified with the last good ones meanwhile. */
  readonly onKeysFault?: ((fault: Error) => void) | undefined
  /** Allows http for an issuer that is not on this machine. Whoever is on the way can then choose the keys. */
  readonly dangerouslyAllowHttp?: boolean | undefined
  /** Default: the global one. */
  readonly fetch?: typeof fetch | undefined
  /** Seconds since 1970. For tests. */
  readonly nowSeconds?: (() => number) | undefined
  /** Seconds that only grow. For tests. */
  readonly monotonicSeconds?: (() => number) | undefined
}

const leewaySecondsMax = 30
const daySeconds = 86_400
/** As many as the service keeps of it. */
const nameCharactersMax = 100

/** The options, complete and of sane values. */
export function readOptions(given: VerifierOptions) {
  const { issuer, audience, name, type = 'at+jwt', leewaySeconds = 10, algorithms = ['ES256'] } = given
  demand(isText(issuer), 'issuer must be the URL of the token service, as it stands in its tokens')
  demand(isText(audience), 'audience must be the name of this service, as it stands in its tokens')
  const issuerUrl = readUrl(issuer, 'issuer')
  const jwksUri = readUrl(given.jwksUri ?? `${issuer.replace(/\/$/, '')}/.well-known/jwks.json`, 'jwksUri')
  for (const [option, url] of [
    ['issuer', issuerUrl],
    ['jwksUri', jwksUri],
  ] as const)
    demand(
      url.protocol === 'https:' || isLoopback(url) || given.dangerouslyAllowHttp === true,
      `${option} must begin with https://`,
    )
  demand(
    Array.isArray(algorithms) && algorithms.length > 0 && algorithms.every(isAlgorithm),
    `algorithms must be a list of ${allAlgorithms.join(', ')}`,
  )
  demand(type === 'at+jwt' || type === 'JWT', 'type must be "at+jwt" or "JWT"')
  demand(isCount(leewaySeconds, leewaySecondsMax), `leewaySeconds must be from 0 to ${leewaySecondsMax}`)
  demand(
    name === undefined ||
      (/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(name) && name.length <= nameCharactersMax),
    `name must be 1 to ${nameCharactersMax} printable ASCII characters`,
  )
  const {
    keysKeptSecondsMax = daySeconds,
    tokensRememberedMax = 10_000,
    proofsRememberedMax = 100_000,
  } = given
  demand(isCount(keysKeptSecondsMax, 30 * daySeconds), 'keysKeptSecondsMax must be from 0 to 30 days')
  demand(isCount(tokensRememberedMax), 'tokensRememberedMax must be a number, 0 or more')
  demand(isCount(proofsRememberedMax), 'proofsRememberedMax must be a number, 0 or more')
  const nothing = (): void => undefined
  return {
    issuer,
    audience,
    algorithms: [...algorithms],
    types: new Set(type === 'JWT' ? ['jwt', 'application/jwt'] : ['at+jwt', 'application/at+jwt']),
    leewaySeconds,
    keys: given.keys,
    tokensRememberedMax,
    proofsRememberedMax,
    origin: readOrigin(given),
    scopesSupported: given.scopesSupported,
    nowSeconds: given.nowSeconds ?? (() => Date.now() / 1000),
    remoteKeys: {
      url: jwksUri,
      name,
      keptSecondsMax: keysKeptSecondsMax,
      fetch: given.fetch ?? fetch,
      monotonicSeconds: given.monotonicSeconds ?? elapsedClock(),
    } satisfies Omit<RemoteKeysOptions, 'onFault'>,
    hooks: {
      onVerified: guarded(given.onVerified ?? nothing),
      onRefused: guarded(given.onRefused ?? nothing),
      onKeysFault: guarded(given.onKeysFault ?? warnOnce()),
    },
  }
}

export type ReadOptions = ReturnType<typeof readOptions>

/** A mistake of whoever writes the program is no refusal, so it is another kind of error. */
function demand(holds: boolean, sentence: string): asserts holds {
  if (!holds) throw new TypeError(`createVerifier: ${sentence}.`)
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

const isCount = (value: unknown, max = Number.MAX_SAFE_INTEGER): boolean =>
  typeof value === 'number' && value >= 0 && value <= max

function readUrl(text: string, option: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  demand(url !== undefined && /^https?:$/.test(url.protocol), `${option} must be a URL`)
  return url
}

const isLoopback = ({ hostname }: URL): boolean => ['localhost', '127.0.0.1', '[::1]'].includes(hostname)

/** An audience that is a URL says where the service is. */
function readOrigin({ origin, audience }: VerifierOptions): string | undefined {
  if (origin !== undefined) {
    demand(
      URL.canParse(origin) && new URL(origin).origin === origin,
      'origin must be like "https://orders.example"',
    )
    return origin
  }
  const url = URL.canParse(audience) ? new URL(audience) : undefined
  return url !== undefined && /^https?:$/.test(url.protocol) ? url.origin : undefined
}

/**
 * Seconds that only grow, and count while the machine sleeps: keys would outlive their bound by a night otherwise. Node’s
 * monotonic clock may stand still meanwhile, so the time that the wall clock has on top of it counts too. A wall clock that is
 * set ahead makes keys older by that. Then they are fetched early, which harms nobody.
 */
export function elapsedClock(
  monotonicSeconds = () => performance.now() / 1000,
  wallSeconds = () => Date.now() / 1000,
): () => number {
  let slept = 0
  let ahead = wallSeconds() - monotonicSeconds()
  return () => {
    const monotonic = monotonicSeconds()
    const now = wallSeconds() - monotonic
    // Clocks are corrected by less all the time.
    if (now - ahead > 1) slept += now - ahead
    if (Math.abs(now - ahead) > 1) ahead = now
    return monotonic + slept
  }
}

/** A hook is there to look on. If it fails, at once or later, that must not decide about a token, nor end the process. */
function guarded<T>(hook: (value: T) => unknown): (value: T) => void {
  const warn = (error: unknown): void => process.emitWarning(error instanceof Error ? error : String(error))
  return (value) => {
    try {
      const later = hook(value)
      if (later instanceof Promise) later.catch(warn)
    } catch (error) {
      warn(error)
    }
  }
}

/** Without a hook of its own, a service is told in its process’s warnings that keys are away, and not for every try. */
function warnOnce(): (fault: Error) => void {
  let isTold = false
  return (fault) => {
    if (isTold) return
    isTold = true
    const cause = fault.cause instanceof Error ? ` ${fault.cause.message}` : ''
    process.emitWarning(
      `${fault.message}${cause} Tokens are verified with the last good keys for as long as these are kept.`,
      'MintmarkVerifierWarning',
    )
  }
}
