/**
 * Headers of a request whose value is one and no list (RFC 9110 §5.3). Node keeps the first or the last of them, and a
 * proxy in front may have kept another one. `Authorization` is one too, and has a refusal of its own.
 */
const singletons: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-length',
  'content-location',
  'content-range',
  'content-type',
  'date',
  'expect',
  'from',
  'host',
  'if-modified-since',
  'if-range',
  'if-unmodified-since',
  'max-forwards',
  'origin',
  'proxy-authorization',
  'range',
  'referer',
  'transfer-encoding',
  'user-agent',
])

/**
 * Whether a header that may be given once is given more than once.
 * @param rawHeaders names and values in turn, as they arrived.
 * @param names how many different names there are. Without repetition nothing is compared.
 */
export function hasRepeatedSingleton(rawHeaders: readonly string[], names: number): boolean {
  if (rawHeaders.length === names * 2) return false
  const found = new Set<string>()
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase()
    if (!singletons.has(name)) continue
    if (found.has(name)) return true
    found.add(name)
  }
  return false
}
