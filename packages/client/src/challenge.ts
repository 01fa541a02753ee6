/** One challenge of a `WWW-Authenticate` header (RFC 9110 §11.6.1). Names are in small letters. */
export interface Challenge {
  readonly scheme: string
  readonly parameters: ReadonlyMap<string, string>
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const part = new RegExp(
  `[\\s,]*(?:(${token})[ \\t]*=[ \\t]*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))|(${token})(?:[ \\t]+[\\w.~+/-]+=*(?=[\\s]*(?:,|$)))?)`,
  'y',
)
const charactersMax = 8 * 1024

/** All challenges of an answer. What cannot be read, and what comes after it, does not count. */
export function challengesOf({ headers }: Response): readonly Challenge[] {
  const text = headers.get('www-authenticate') ?? ''
  const challenges: { readonly scheme: string; readonly parameters: Map<string, string> }[] = []
  if (text.length > charactersMax) return challenges
  part.lastIndex = 0
  for (let found = part.exec(text); found !== null; found = part.exec(text)) {
    const [, name, quoted, plain, scheme] = found
    if (scheme !== undefined) challenges.push({ scheme: scheme.toLowerCase(), parameters: new Map() })
    else {
      const parameters = challenges.at(-1)?.parameters
      const key = name?.toLowerCase() ?? ''
      // The first one counts: what comes later may be somebody else's.
      if (parameters?.has(key) === false) parameters.set(key, quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '')
    }
  }
  return challenges
}

/** A parameter of a challenge that asks for an access token. */
export function challengeParameter(response: Response, name: string): string | undefined {
  return challengesOf(response)
    .filter(({ scheme }) => scheme === 'bearer' || scheme === 'dpop')
    .map(({ parameters }) => parameters.get(name))
    .find((value) => value !== undefined)
}
