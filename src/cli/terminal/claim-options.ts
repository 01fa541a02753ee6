import { type OptionDefinitions, usageError } from './command.ts'

/** Claims that a client or a resource gives all of its tokens, as options of a command. */
export const claimOptions = {
  claim: {
    type: 'string',
    value: 'NAME=VALUE',
    multiple: true,
    description: 'a claim of all its tokens; NAME:=JSON if not text',
  },
} as const satisfies OptionDefinitions

/** For what exists. */
export const noClaimOptions = {
  'no-claim': { type: 'string', value: 'NAME', multiple: true, description: 'a claim that its tokens lose' },
} as const satisfies OptionDefinitions

type Claims = Readonly<Record<string, unknown>>

/** What is said, in the words of a file. A name has no "=", and does not end with ":". */
export function claimWords(texts: readonly string[]): Claims {
  const claims = new Map<string, unknown>()
  for (const text of texts) {
    const [, name = '', isJson, value = ''] = /^([^=]*?)(:?)=(.*)$/s.exec(text) ?? []
    if (name === '') throw usageError(`--claim: write NAME=VALUE, for example tenant=acme; not ${text}.`)
    if (claims.has(name)) throw usageError(`--claim: ${name} is named twice.`)
    claims.set(name, isJson === ':' ? parsed(name, value) : value)
  }
  return Object.fromEntries(claims)
}

function parsed(name: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    throw usageError(`--claim: ${name}:= needs JSON, for example ${name}:=3 or '${name}:=["eu","us"]'.`)
  }
}

/** @throws OperatorError if a claim is to be lost that is not there, or is said too. */
export function changedClaims(before: Claims = {}, said: Claims, lost: readonly string[]): Claims {
  for (const name of lost) {
    if (Object.hasOwn(said, name)) throw usageError(`--no-claim: ${name} is named in --claim too.`)
    if (!Object.hasOwn(before, name)) throw usageError(`--no-claim: there is no claim ${name}.`)
  }
  const kept = Object.entries(before).filter(([name]) => !lost.includes(name))
  return { ...Object.fromEntries(kept), ...said }
}
