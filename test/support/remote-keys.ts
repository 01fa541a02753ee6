/** Keys of others, with a clock and a fetch that the test holds. */
import type { FetchDocument } from '../../src/authentication/remote-documents.ts'
import { type KeyAddress, RemoteKeys } from '../../src/authentication/remote-keys.ts'
import type { TestKey } from './assertion.ts'

export const keysAddress = {
  kind: 'jwks_uri',
  url: 'https://idp.example.com/keys',
} as const satisfies KeyAddress

export const keySet = (...keys: TestKey[]) => ({
  keys: keys.map(({ publicJwk, kid }) => ({ ...publicJwk, kid, use: 'sig' })),
})

/** A fetch that answers what the test says, as soon as the test says so. */
export function openRemoteKeys(first: unknown) {
  let milliseconds = 0
  let answer = first
  let maxAgeSeconds: number | undefined
  const told: string[] = []
  const asked: string[] = []
  let gate: Promise<void> | undefined
  const fetch: FetchDocument = async (url) => {
    asked.push(url)
    await gate
    if (answer instanceof Error) throw answer
    return { text: typeof answer === 'string' ? answer : JSON.stringify(answer), maxAgeSeconds }
  }
  const keys = new RemoteKeys({
    fetch,
    monotonicMilliseconds: () => milliseconds,
    onFailed: (name, problem, kept) => told.push(`failed: ${name}: ${problem}, kept ${kept}`),
    onRecovered: () => told.push('recovered'),
    onReplaced: (_address, kids) => told.push(`replaced: ${kids.join()}`),
  })
  return {
    keys,
    told,
    asked,
    answer: (next: unknown, maxAge?: number) => {
      answer = next
      maxAgeSeconds = maxAge
    },
    pass: (seconds: number) => {
      milliseconds += seconds * 1_000
    },
    hold: () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      gate = promise
      return () => {
        gate = undefined
        resolve()
      }
    },
    names: () => keys.now(keysAddress)?.map(({ kid }) => kid),
    renewed: async () => (await keys.renewed(keysAddress))?.map(({ kid }) => kid),
  }
}

/** Until a fetch for which nobody waits has come to its end. */
export const settle = () => new Promise((resolve) => setImmediate(resolve))
