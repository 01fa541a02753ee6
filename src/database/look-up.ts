import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { type LookupFunction, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Milliseconds until the addresses from before are used. A name server answers in a few. */
const patienceMilliseconds = 300

type Addresses = string | LookupAddress[]
type Resolve = (
  name: string,
  options: LookupOptions,
  done: (error: NodeJS.ErrnoException | null, addresses: Addresses, family?: number) => void,
) => void
type Answer = readonly [addresses: Addresses, family: number | undefined]

/**
 * Finds the addresses of a host. A name server may lose an answer. The C library asks again after five seconds, and Node
 * has two threads for all look-ups: two lost answers would keep every new connection waiting. So if an answer takes long,
 * the addresses that the name had before are used, and nobody asks once more meanwhile.
 * @param resolve asks the system.
 */
export function rememberingLookUp(resolve: Resolve = lookup): LookupFunction {
  const latest = new Map<string, Answer>()
  const underWay = new Map<string, Promise<Answer>>()

  async function ask(key: string, name: string, options: LookupOptions): Promise<Answer> {
    try {
      const answer = await new Promise<Answer>((answered, failed) => {
        resolve(name, options, (error, addresses, family) => {
          if (error === null) answered([addresses, family])
          else failed(error)
        })
      })
      latest.set(key, answer)
      return answer
    } finally {
      underWay.delete(key)
    }
  }

  async function find(name: string, options: LookupOptions): Promise<Answer> {
    const key = JSON.stringify([name, options])
    const earlier = latest.get(key)
    // The answer to another question may come, when the one to the first was lost.
    if (earlier === undefined) return await ask(key, name, options)
    const asked = underWay.get(key) ?? ask(key, name, options)
    underWay.set(key, asked)
    const known = asked.catch((error: NodeJS.ErrnoException) => {
      // The name server is away. A name that does not exist any more is an answer.
      if (error.code === 'EAI_AGAIN') return earlier
      throw error
    })
    const patience = new AbortController()
    try {
      const late = sleep(patienceMilliseconds, earlier, { signal: patience.signal })
      return await Promise.race([known, late])
    } finally {
      patience.abort()
    }
  }

  return (name, options, done) => {
    find(name, options).then(
      ([addresses, family]) => done(null, addresses, family),
      (error: NodeJS.ErrnoException) => done(error, []),
    )
  }
}

const lookUp = rememberingLookUp()

/** A socket that finds its host so. Another connection to the same host may have found it before. */
export class DatabaseSocket extends Socket {
  override connect(...given: unknown[]): this {
    const [port, host] = given
    if (typeof port === 'number' && typeof host === 'string')
      return super.connect({ port, host, lookup: lookUp })
    return super.connect(...(given as [string]))
  }
}
