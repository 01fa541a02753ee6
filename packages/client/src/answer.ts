import { TokenError } from './errors.ts'

/** What the token service answers. It is believed only as far as it is what a token service answers. */

/** Bytes of an answer. A token is under 2 KiB, and metadata under 4. */
const bodyBytesMax = 64 * 1024
/** Characters of a token. It travels in a header field, and servers read 16 KiB of those. */
const tokenCharactersMax = 16 * 1024
/** Of an answer that does not say how long its token lives (RFC 6749 §5.1 only recommends that). */
const unsaidLifetimeSeconds = 60
const lifetimeSecondsMax = 86_400
/** No answer can switch a client off for longer. */
const retryAfterSecondsMax = 300

export interface TokenAnswer {
  readonly accessToken: string
  readonly tokenType: 'Bearer' | 'DPoP'
  readonly lifetimeSeconds: number
  /** The scopes that were granted, if the answer says which. */
  readonly scopes: readonly string[] | undefined
}

/** @throws TokenError for whatever is no token. */
export async function readTokenAnswer(
  response: Response,
  wanted: TokenAnswer['tokenType'],
  nowSeconds: number,
): Promise<TokenAnswer> {
  const body = await readJson(response)
  if (response.status !== 200) throw refusalOf(response, body, nowSeconds)
  if (body === undefined) throw invalid(response, 'is not JSON')
  const { access_token: accessToken, token_type: type, expires_in: lifetime, scope } = body
  if (typeof accessToken !== 'string' || !/^[\w.~+/-]+=*$/.test(accessToken))
    throw invalid(response, 'has no token')
  if (accessToken.length > tokenCharactersMax) throw invalid(response, 'has a token that is too long')
  const tokenType = (['Bearer', 'DPoP'] as const).find(
    (known) => known.toLowerCase() === String(type).toLowerCase(),
  )
  if (tokenType === undefined) throw invalid(response, 'has a token of an unknown type')
  // A token that is not bound to our key is worth something to a thief.
  if (tokenType !== wanted) throw invalid(response, `has a token of the type ${tokenType}, and not ${wanted}`)
  const isLifetime = typeof lifetime === 'number' && Number.isFinite(lifetime) && lifetime > 0
  if (lifetime !== undefined && !isLifetime) throw invalid(response, 'has an expires_in that is no lifetime')
  const lifetimeSeconds = isLifetime ? Math.min(lifetime, lifetimeSecondsMax) : unsaidLifetimeSeconds
  const scopes = typeof scope === 'string' ? scope.split(' ').filter((word) => word !== '') : undefined
  return { accessToken, tokenType, lifetimeSeconds, scopes }
}

function refusalOf(
  response: Response,
  body: Record<string, unknown> | undefined,
  nowSeconds: number,
): TokenError {
  const { status, headers } = response
  const retryAfterSeconds = readRetryAfter(headers.get('retry-after'), nowSeconds)
  const details = {
    status,
    error: shortText(body?.['error']),
    description: shortText(body?.['error_description']),
    requestId: shortText(headers.get('x-request-id')),
    retryAfterSeconds,
  }
  if (status === 429 || status >= 500)
    return new TokenError('unavailable', `The token service answers ${status}.`, details)
  const { error, description } = details
  if (status >= 400 && error !== undefined)
    return new TokenError(
      'refused',
      `The token service refuses: ${error}. ${description ?? ''}`.trim(),
      details,
    )
  return new TokenError(
    'response_invalid',
    `The token service answers ${status}, and no error of OAuth.`,
    details,
  )
}

/** Texts of a stranger, for messages: printable, and not long. */
function shortText(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '') return undefined
  return value.slice(0, 300).replace(/[^\x20-\x7e]/g, '?')
}

const invalid = ({ status }: Response, what: string): TokenError =>
  new TokenError('response_invalid', `The answer of the token service ${what}.`, { status })

/** Seconds, or a date (RFC 9110 §10.2.3). */
function readRetryAfter(value: string | null, nowSeconds: number): number | undefined {
  if (value === null) return undefined
  const seconds = /^\d{1,9}$/.test(value) ? Number(value) : Date.parse(value) / 1000 - nowSeconds
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(0, seconds), retryAfterSecondsMax)
}

/** @returns undefined if it is not an object of JSON. @throws TokenError if it is too long or breaks off. */
export async function readJson(response: Response): Promise<Record<string, unknown> | undefined> {
  const isJson = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(
    response.headers.get('content-type') ?? '',
  )
  if (!isJson) {
    await response.body?.cancel().catch(() => undefined)
    return undefined
  }
  const bytes = await readBytes(response)
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

async function readBytes(response: Response): Promise<Uint8Array> {
  if (response.body === null) return new Uint8Array()
  const chunks: Uint8Array[] = []
  let length = 0
  // Leaving the loop cancels the rest.
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (length > bodyBytesMax) throw invalid(response, 'is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
