/** What the demo does with Mintmark itself: its commands, a token that expires, and whether it answers. */
import { Readable, Writable } from 'node:stream'
import { main } from '../../src/cli/main.ts'
import { ordersAudience, type Picture, sendOver, tokensOfShop } from './calls.ts'

/** Seconds by which relying services let clocks differ. So long is a token good beyond its end. */
const leewaySeconds = 10

/** Does what `bin/mintmark WORDS` does, in this process: that is faster. */
export async function runCommand(
  environment: Readonly<Record<string, string>>,
  words: readonly string[],
): Promise<void> {
  let output = ''
  const collect = (): Writable =>
    new Writable({
      write(chunk, _encoding, done) {
        output += chunk
        done()
      },
    })
  const code = await main(words, {
    environment,
    stdin: Readable.from([]),
    stdout: collect(),
    stderr: collect(),
    onSignal: () => () => {},
  })
  if (code !== 0) throw new Error(`bin/mintmark ${words.join(' ')} ended with ${code}:\n${output}`)
}

interface ShortToken {
  readonly token: string
  readonly hasExpired: () => boolean
}

/** A token of the shop that lives for a second: it has to expire while somebody watches. */
export async function shortToken(
  where: Pick<Picture, 'mintmark' | 'ca'>,
  mintmark: (...words: string[]) => Promise<void>,
): Promise<ShortToken> {
  await mintmark('resources', 'update', ordersAudience, '--token-lifetime', '1')
  const { accessToken, expiresAt } = await tokensOfShop(where).grant(ordersAudience)
  await mintmark('resources', 'update', ordersAudience, '--token-lifetime', '300')
  return { token: accessToken, hasExpired: () => Date.now() / 1000 > expiresAt + leewaySeconds + 1 }
}

/** Whether a service answers. The certificate of the shop opens all of them. */
export function answers(ca: string, url: string): Promise<boolean> {
  return sendOver(ca, { method: 'GET', url, headers: {} }, 'shop').then(
    ({ status }) => status === 200,
    () => false,
  )
}
