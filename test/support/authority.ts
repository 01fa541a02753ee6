import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { onTestFinished } from 'vitest'
import { type CertificateRequest, createAuthority } from '../../src/certificates/authority.ts'
import type { AuthorityContext } from '../../src/certificates/open.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { scratch } from './scratch.ts'

export const day = 86_400
/** The clock of the machine: TLS and OpenSSL have no other. */
export const now = systemClock.nowSeconds()

export interface TestAuthority {
  readonly context: AuthorityContext
  readonly at: (later: number) => AuthorityContext
  readonly path: (name: string) => string
  readonly read: (name: string) => string
}

export async function newAuthority(permitted: readonly string[] = [], days = 3_650): Promise<TestAuthority> {
  const files = scratch()
  onTestFinished(() => files.remove())
  const directory = files.path('ca')
  const at = (later: number): AuthorityContext => ({ directory, now: now + later, randomBytes })
  await createAuthority(at(0), days, permitted)
  const path = (name: string): string => `${directory}/${name}`
  return { context: at(0), at, path, read: (name) => readFileSync(path(name), 'utf8') }
}

export const localhost: CertificateRequest = {
  name: 'localhost',
  names: [
    { kind: 'dns', value: 'localhost' },
    { kind: 'ip', value: '127.0.0.1' },
  ],
  uses: ['server'],
  days: undefined,
}
export const billing: CertificateRequest = {
  name: 'billing',
  names: [{ kind: 'uri', value: 'spiffe://example.org/billing' }],
  uses: ['client'],
  days: undefined,
}
export const both: CertificateRequest = { ...localhost, name: 'both', uses: ['server', 'client'] }

/** The code of the problem, or `done`. */
export const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'done',
    ({ code }) => code,
  )
