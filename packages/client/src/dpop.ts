import { createHash, randomUUID } from 'node:crypto'
import { type SigningKey, signJwt } from './key.ts'
import type { Time } from './time.ts'

/** A server’s nonces are remembered for so many origins. */
const originsMax = 100
const nonceCharactersMax = 256

/** Proofs that a request is made by whoever has the key of its token (RFC 9449). */
export class DpopProver {
  readonly key: SigningKey
  readonly #time: Pick<Time, 'nowSeconds'>
  readonly #nonces = new Map<string, string>()

  constructor(key: SigningKey, time: Pick<Time, 'nowSeconds'>) {
    this.key = key
    this.#time = time
  }

  /** The nonce that the next proof for this server has in it. */
  nonceFor(url: string | URL): string | undefined {
    return this.#nonces.get(new URL(url).origin)
  }

  /** @param accessToken the token that the request shows; undefined at the token endpoint. */
  prove(method: string, url: string | URL, accessToken?: string): string {
    const target = new URL(url)
    const nonce = this.#nonces.get(target.origin)
    target.search = ''
    target.hash = ''
    const claims = {
      jti: randomUUID(),
      htm: method,
      htu: target.href,
      iat: Math.floor(this.#time.nowSeconds()),
      ...(accessToken === undefined
        ? {}
        : { ath: createHash('sha256').update(accessToken).digest('base64url') }),
      ...(nonce === undefined ? {} : { nonce }),
    }
    return signJwt(this.key, { typ: 'dpop+jwt', jwk: this.key.publicJwk }, claims)
  }

  /**
   * Remembers the nonce of an answer.
   * @param sent the nonce of the proof that was answered. Another request may have brought the new one meanwhile.
   * @returns whether a proof with it is another one.
   */
  learn(url: string | URL, { headers }: Pick<Response, 'headers'>, sent: string | undefined): boolean {
    const nonce = headers.get('dpop-nonce')
    // RFC 9449 §8.1: NQCHAR, and one value.
    if (nonce === null || nonce.length > nonceCharactersMax || !/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(nonce))
      return false
    const { origin } = new URL(url)
    this.#nonces.delete(origin)
    this.#nonces.set(origin, nonce)
    for (const oldest of this.#nonces.keys()) {
      if (this.#nonces.size <= originsMax) break
      this.#nonces.delete(oldest)
    }
    return nonce !== sent
  }
}
