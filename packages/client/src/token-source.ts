import { type CredentialOptions, readCredentials } from './credentials.ts'
import { Discovery, fetchWithDiscovery } from './discovery.ts'
import { DpopProver } from './dpop.ts'
import { checkedOrigins, type FetchOptions, fetchWithTokens } from './fetch.ts'
import { generateKey, type PrivateKey, readPrivateKey } from './key.ts'
import { isSafeUrl, Metadata } from './metadata.ts'
import type { RequestSigner } from './signature.ts'
import { systemTime, type Time } from './time.ts'
import { type Grant, TokenCache } from './token-cache.ts'
import { type Target, TokenEndpoint } from './token-endpoint.ts'
import { type CertificateFiles, Transport } from './transport.ts'

export interface TokenSourceOptions extends CredentialOptions {
  /** The issuer, letter by letter as it stands in its metadata and its tokens. */
  readonly issuer: string
  /**
   * A client certificate and its key, read again when the files change. It proves who we are if nothing else does
   * (RFC 8705), and is shown to relying services too, because the token may be bound to it.
   */
  readonly certificate?: CertificateFiles | undefined
  /** The path of a file with the CAs that sign servers’ certificates, in PEM. Default: those of Node. */
  readonly caFile?: string | undefined
  /** Tokens that only a holder of a key can use (RFC 9449). `true` makes a key that lives as long as the process. */
  readonly dpop?: boolean | { readonly privateKey: PrivateKey } | undefined
  /** Default: as the metadata of the issuer say. */
  readonly tokenEndpoint?: string | undefined
  /** Seconds that a caller waits for a token at most, attempts and pauses together. Default: 30. */
  readonly timeoutSeconds?: number | undefined
  /** Hears of a renewal that failed while the token before it is still used. Default: a warning of the process, once. */
  readonly onRenewalFailed?: ((error: unknown) => void) | undefined
  /** Allows http to other machines. Whoever is on the way reads secrets and tokens. */
  readonly dangerouslyAllowHttp?: boolean | undefined
  /** Default: the global one. Not used over TLS where there is a certificate or a caFile. */
  readonly fetch?: typeof fetch | undefined
  /** Clocks and chance. For tests. */
  readonly time?: Partial<Time> | undefined
}

export interface CallOptions {
  /** Ends the wait of this caller, and of no other. */
  readonly signal?: AbortSignal | undefined
}

/** Scopes as a list, or as one text with spaces between them. None: all that are granted for the audience. */
export type Scopes = string | readonly string[]

export interface TokenSource {
  /**
   * A token for an audience. It may be left out if the client has access to one resource only.
   * @throws TokenError that says why there is none, or the reason of the signal.
   */
  token(audience?: string, scopes?: Scopes, options?: CallOptions): Promise<string>
  /** The same, with what is known of the token. */
  grant(audience?: string, scopes?: Scopes, options?: CallOptions): Promise<Grant>
  /** A `fetch` whose requests carry such a token. */
  fetchFor(audience: string, scopes?: Scopes, options?: FetchOptions): typeof fetch
  /**
   * A `fetch` for services whose audience and scopes are not known. They say so themselves when they refuse the first
   * request (RFC 9728). They must name the issuer of this source: nobody else gets its credential.
   */
  fetchDiscovering(options: DiscoveringOptions): typeof fetch
}

export interface DiscoveringOptions extends Pick<FetchOptions, 'sign'> {
  /** Where requests and tokens may be sent: origins like `https://orders.example.com`. */
  readonly origins: readonly string[]
  /**
   * Audiences that these services may name although they are no URLs of theirs. Without it a service gets only tokens
   * for itself, and not one that it could use at another service. With it each of them may name each audience: services that
   * must not have each other's tokens get a `fetch` of their own.
   */
  readonly audiences?: readonly string[] | undefined
}

const timeoutSecondsMost = 300

/**
 * Where a program gets its tokens. Make one, and keep it: it has the tokens.
 * @throws TypeError if the options are wrong.
 */
export function createTokenSource(options: TokenSourceOptions): TokenSource {
  const { issuer, certificate, caFile, timeoutSeconds = 30, dangerouslyAllowHttp = false } = options
  demandUrl('issuer', issuer, dangerouslyAllowHttp)
  if (options.tokenEndpoint !== undefined)
    demandUrl('tokenEndpoint', options.tokenEndpoint, dangerouslyAllowHttp)
  if (!(timeoutSeconds > 0 && timeoutSeconds <= timeoutSecondsMost))
    throw new TypeError(
      `createTokenSource: timeoutSeconds must be more than 0, and at most ${timeoutSecondsMost}.`,
    )
  const time: Time = { ...systemTime, ...options.time }
  const plainFetch = options.fetch ?? ((input, init) => fetch(input, init))
  const needsTransport = certificate !== undefined || caFile !== undefined
  const transport = needsTransport ? new Transport({ certificate, caFile }, plainFetch) : undefined
  const transportFetch = transport?.fetch ?? plainFetch
  const hasCertificate = certificate !== undefined
  const dpop = options.dpop ? new DpopProver(dpopKey(options.dpop), time) : undefined
  const metadata = new Metadata({ issuer, fetch: transportFetch, time, hasCertificate, dangerouslyAllowHttp })
  const endpoint = new TokenEndpoint({
    issuer,
    endpoint: async (signal) => options.tokenEndpoint ?? (await metadata.tokenEndpoint(signal)),
    credentials: readCredentials(options, hasCertificate),
    dpop,
    fetch: transportFetch,
    time,
    timeoutSeconds,
  })
  const cache = new TokenCache({
    request: (target, signal) => endpoint.request(target, signal),
    time,
    generation: () => (hasCertificate ? (transport?.generation ?? 0) : 0),
    onRenewalFailed: guarded(options.onRenewalFailed ?? warnOnce()),
  })
  const grant = (audience?: string, scopes?: Scopes, { signal }: CallOptions = {}): Promise<Grant> =>
    cache.grant(targetOf(audience, scopes), signal)
  const signer = (sign: FetchOptions['sign']) => signerOf(sign, dpop, hasCertificate ? transport : undefined)
  const fetchFor: TokenSource['fetchFor'] = (audience, scopes, fetchOptions = {}) => {
    const target = targetOf(audience, scopes)
    const attached = {
      audience,
      grant: (signal: AbortSignal) => cache.grant(target, signal),
      discard: (refused: Grant) => cache.discard(target, refused),
      dpop,
      signer: signer(fetchOptions.sign),
      fetch: transportFetch,
      nowSeconds: time.nowSeconds,
      dangerouslyAllowHttp,
    }
    return fetchWithTokens(attached, fetchOptions)
  }
  return {
    grant,
    token: async (...wanted) => (await grant(...wanted)).accessToken,
    fetchFor,
    fetchDiscovering({ origins, audiences = [], sign }) {
      // Wrong options are told now, and not with the first request.
      signer(sign)
      const allowed = checkedOrigins(origins, dangerouslyAllowHttp)
      const found = { issuer, audiences, fetch: transportFetch, time, dangerouslyAllowHttp }
      return fetchWithDiscovery({
        discovery: new Discovery(found),
        origins: allowed,
        fetch: transportFetch,
        fetchFor: ({ audience, scopes }, origin) => fetchFor(audience, scopes, { origins: [origin], sign }),
      })
    },
  }
}

function demandUrl(option: string, text: string, dangerouslyAllowHttp: boolean): void {
  if (typeof text !== 'string' || !URL.canParse(text) || /[?#]/.test(text) || !/^https?:/.test(text))
    throw new TypeError(`createTokenSource: ${option} must be a URL, like "https://tokens.example.com".`)
  if (!isSafeUrl(text, dangerouslyAllowHttp))
    throw new TypeError(
      `createTokenSource: ${option} must begin with https://, or secrets and tokens can be read.`,
    )
}

/** Equal wishes are one: the order of scopes means nothing. */
function targetOf(audience: string | undefined, scopes: Scopes = []): Target {
  const words = typeof scopes === 'string' ? scopes.split(' ').filter((word) => word !== '') : scopes
  // RFC 6749 §3.3.
  const wrong = words.find((word) => !/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(word))
  if (wrong !== undefined) throw new TypeError(`${JSON.stringify(wrong)} is no scope.`)
  if (audience === '') throw new TypeError('The audience is empty.')
  return { audience, scopes: [...new Set(words)].sort() }
}

function dpopKey(dpop: true | { readonly privateKey: PrivateKey }) {
  return dpop === true ? generateKey() : readPrivateKey(dpop.privateKey)
}

function signerOf(
  sign: FetchOptions['sign'],
  dpop: DpopProver | undefined,
  transport: Transport | undefined,
): (() => RequestSigner) | undefined {
  if (sign === undefined || sign === false) return undefined
  if (sign !== true) {
    if (sign.secret.length < 32) throw new TypeError('A secret that signs requests has 32 bytes or more.')
    return () => sign
  }
  if (dpop !== undefined) return () => dpop
  if (transport !== undefined) return () => ({ key: transport.signingKey })
  throw new TypeError(
    'sign: true needs a key that the token is bound to: dpop or certificate. Or give a shared secret.',
  )
}

/** A hook is there to look on. If it fails, at once or later, that must not end the process. */
function guarded(hook: (error: unknown) => unknown): (error: unknown) => void {
  return (error) => {
    void (async () => await hook(error))().catch((fault: unknown) =>
      process.emitWarning(fault instanceof Error ? fault : String(fault)),
    )
  }
}

function warnOnce(): (error: unknown) => void {
  let isTold = false
  return (error) => {
    if (isTold) return
    isTold = true
    const message = error instanceof Error ? error.message : String(error)
    process.emitWarning(`${message} The token before is used while it lives.`, 'MintmarkClientWarning')
  }
}
