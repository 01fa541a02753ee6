import { isSigningAlgorithm, signingAlgorithms } from '../keys/signing-algorithm.ts'
import { momentExample, readMoment } from '../lib/moment.ts'
import { parseNetwork } from '../lib/network.ts'
import { didYouMean } from '../lib/suggest.ts'
import { limits } from '../limits.ts'
import { isAudience, isPlainText, isScopeToken } from '../registry/grammar.ts'
import { tokenEndpointAuthMethods } from './definition.ts'

/**
 * What may stand in the registry. Every way in, the seed file and the commands, asks here. Each function
 * answers with what is wrong and what to write instead, completing "clients[3].name: …", or with nothing.
 */
export type Problem = string | undefined

const quote = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)

/**
 * Narrower than RFC 6749 Appendix A.1: without % and +, an id is the same before and after the encoding of
 * §2.3.1, so clients that leave the encoding out work as well.
 */
const clientIdForm = /^[A-Za-z0-9][A-Za-z0-9._:/@~-]*$/

export function problemWithClientId(text: string): Problem {
  if (text.length > limits.clientIdCharactersMax) {
    return `is ${text.length} characters long; at most ${limits.clientIdCharactersMax} are allowed`
  }
  if (clientIdForm.test(text)) return undefined
  return `${quote(text)} is no client id: use letters, digits and . _ : / @ ~ -, beginning with a letter or digit`
}

export function problemWithName(text: string): Problem {
  if (text.trim() === '') return 'is empty; leave it out to use the id as the name'
  if (text.length > limits.nameCharactersMax) {
    return `is ${text.length} characters long; at most ${limits.nameCharactersMax} are allowed`
  }
  if (!isPlainText(text)) return 'contains a control, invisible or bidirectional character; remove it'
  return undefined
}

export function problemWithAudience(text: string): Problem {
  if (text.length > limits.audienceCharactersMax) {
    return `is ${text.length} characters long; at most ${limits.audienceCharactersMax} are allowed`
  }
  if (isAudience(text)) return undefined
  const example = 'like https://orders.example.com or urn:example:orders'
  if (text.includes('#'))
    return `${quote(text)} has a fragment (#…); an audience is an absolute URI without one`
  return `${quote(text)} is no absolute URI; write one ${example}`
}

export function problemWithScope(text: string): Problem {
  if (isScopeToken(text)) return undefined
  if (text.length > limits.scopeCharactersMax) {
    return `is ${text.length} characters long; at most ${limits.scopeCharactersMax} are allowed`
  }
  if (text.includes(' ')) return `${quote(text)} contains a space; write each scope as an entry of its own`
  return `${quote(text)} is no scope: use printable ASCII without spaces, quotation marks and backslashes`
}

export function problemWithAuthMethod(text: string): Problem {
  if (tokenEndpointAuthMethods.includes(text)) return undefined
  const known = tokenEndpointAuthMethods.join(' or ')
  return `${quote(text)} is no method of this service: ${known}.${didYouMean(text, tokenEndpointAuthMethods)}`
}

export function problemWithNetwork(text: string): Problem {
  try {
    parseNetwork(text)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

export function problemWithTokenLifetime(seconds: number): Problem {
  const { tokenLifetimeSecondsMin: least, tokenLifetimeSecondsMax: most } = limits
  if (Number.isInteger(seconds) && seconds >= least && seconds <= most) return undefined
  return `must be a whole number of seconds from ${least} to ${most}; it is ${seconds}`
}

export function problemWithSigningAlgorithm(text: string): Problem {
  if (isSigningAlgorithm(text)) return undefined
  return `${quote(text)} is no algorithm of this service: ${signingAlgorithms.join(', ')}.${didYouMean(text, signingAlgorithms)}`
}

/** Each once, and no more than there may be. `subject` names what is listed: "scopes". */
export function problemWithCount(count: number, most: number, subject: string): Problem {
  return count > most ? `has ${count} ${subject}; at most ${most} are allowed` : undefined
}

export function problemWithMoment(text: string): Problem {
  if (readMoment(text) !== undefined) return undefined
  return `${quote(text)} is no date and time with a zone; write it like ${momentExample}`
}

/** What stops a grant of these scopes, given the scopes that the resource has. */
export function problemWithGrantedScope(scope: string, audience: string, known: readonly string[]): Problem {
  if (known.includes(scope)) return undefined
  const shown = known.slice(0, 10).join(', ')
  const all = known.length === 0 ? 'no scopes' : known.length > 10 ? `${shown}, …` : shown
  return `${audience} has no scope ${quote(scope)}; it has ${all}.${didYouMean(scope, known)}`
}
