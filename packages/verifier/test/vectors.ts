import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The vectors of the project, as test/vectors/README.md describes them. */
export interface Expected {
  readonly result: 'accepted' | 'refused'
  readonly code?: string
  readonly claims?: Record<string, unknown>
  readonly scheme?: string
  readonly token?: string
  readonly keyid?: string
}

export interface TokenCase {
  readonly name: string
  readonly token: string | readonly (readonly [string, number])[]
  readonly keys: string
  readonly issuer: string
  readonly audience: string
  readonly algorithms: readonly string[]
  readonly now: number
  readonly leewaySeconds: number
  readonly requiredScope: string | null
  readonly certificate: string | null
  readonly expected: Expected
}

export interface ProofCase {
  readonly name: string
  readonly token: string
  readonly proofs: readonly string[]
  readonly method: string
  readonly url: string
  readonly before: readonly { readonly token: string; readonly proof: string; readonly now: number }[]
  readonly certificate: string | null
  readonly now: number
  readonly expected: Expected
}

interface ProofFile {
  readonly keys: unknown
  readonly issuer: string
  readonly audience: string
  readonly cases: readonly ProofCase[]
}

interface RequestOfCase {
  readonly method: string
  readonly url: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

interface RequestFile {
  readonly tag: string
  readonly keys: { readonly keys: readonly unknown[] }
  readonly cases: readonly {
    readonly name: string
    readonly request: RequestOfCase
    readonly before: readonly { readonly request: RequestOfCase; readonly now: number }[]
    readonly boundTo: string | null
    readonly now: number
    readonly expected: Expected
  }[]
}

interface AuthorizationCase {
  readonly name: string
  readonly authorization: readonly string[]
  readonly expected: Expected
}

function read<T>(file: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, '../../../test/vectors', file), 'utf8'))
}

export const tokens = () =>
  read<{ readonly keySets: Record<string, unknown>; readonly cases: readonly TokenCase[] }>('tokens.json')
export const proofs = () => read<ProofFile>('dpop.json')
export const signedRequests = () => read<RequestFile>('signed-requests.json')
export const authorization = () =>
  read<{ readonly cases: readonly AuthorizationCase[] }>('authorization.json')
interface Code {
  readonly status: number
  readonly error: string | null
}

export const codes = () => read<{ readonly codes: Record<string, Code> }>('codes.json').codes

/** A long token is written as texts with how often each is repeated. */
export const wholeToken = (token: TokenCase['token']): string =>
  typeof token === 'string' ? token : token.map(([text, times]) => text.repeat(times)).join('')
