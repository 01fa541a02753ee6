import { type ClientKey, readClientKey } from '../authentication/client-key.ts'
import type { Mistake, Path } from './mistake.ts'

/** Finds what is named twice in one list. A schema cannot express this. */

/** The entries of a list that name what an earlier one names. */
export function namedTwice(holder: unknown, key: string, id: string, at: Path): Mistake[] {
  const list = isMapping(holder) ? holder[key] : undefined
  if (!Array.isArray(list)) return []
  const firsts = new Map<string, number>()
  const mistakes: Mistake[] = []
  for (const [index, entry] of list.entries()) {
    const value = isMapping(entry) ? entry[id] : undefined
    if (typeof value !== 'string') continue
    const first = firsts.get(value)
    if (first === undefined) firsts.set(value, index)
    else {
      const path = [...at, key, index, id]
      mistakes.push({ code: 'already_named', path, value, first: [...at, key, first] })
    }
  }
  return mistakes
}

/** Keys of one client with the same kid, or that are the same. */
export function keysNamedTwice(client: unknown, at: Path): Mistake[] {
  const jwks = isMapping(client) ? client['jwks'] : undefined
  const list = isMapping(jwks) ? jwks['keys'] : undefined
  if (!Array.isArray(list)) return []
  const named = { keys: list.map((jwk) => ({ kid: isMapping(jwk) ? jwk['kid'] : undefined })) }
  const same = { keys: list.map((jwk) => ({ thumbprint: clientKey(jwk)?.thumbprint })) }
  const path = [...at, 'jwks']
  const twice = [...namedTwice(named, 'keys', 'kid', path), ...namedTwice(same, 'keys', 'thumbprint', path)]
  // The thumbprint stands nowhere in a file.
  return twice.map((mistake) => ({ ...mistake, path: mistake.path.slice(0, path.length + 2) }))
}

/** Rules of a whole registration with the same name. Two of one issuer count as well. */
export function rulesNamedTwice(root: unknown): Mistake[] {
  const issuers = isMapping(root) ? root['trust'] : undefined
  if (!Array.isArray(issuers)) return []
  const firsts = new Map<string, Path>()
  const mistakes: Mistake[] = []
  for (const [index, issuer] of issuers.entries()) {
    const rules = isMapping(issuer) ? issuer['rules'] : undefined
    if (!Array.isArray(rules)) continue
    for (const [at, rule] of rules.entries()) {
      const value = isMapping(rule) ? rule['rule'] : undefined
      if (typeof value !== 'string') continue
      const path = ['trust', index, 'rules', at]
      const first = firsts.get(value)
      if (first === undefined) firsts.set(value, path)
      else mistakes.push({ code: 'already_named', path: [...path, 'rule'], value, first })
    }
  }
  return mistakes
}

/** Resources that one rule of an issuer gives twice. Only the scopes of the last one would count. */
export function ruleAccessNamedTwice(issuer: unknown, at: Path): Mistake[] {
  const rules = isMapping(issuer) ? issuer['rules'] : undefined
  if (!Array.isArray(rules)) return []
  return rules.flatMap((rule, index) => namedTwice(rule, 'access', 'audience', [...at, 'rules', index]))
}

export function clientKey(jwk: unknown): ClientKey | undefined {
  const read = readClientKey(jwk)
  return 'thumbprint' in read ? read : undefined
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
