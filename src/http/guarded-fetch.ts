import { type LookupAddress, type LookupOptions, lookup as resolve } from 'node:dns'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { getCACertificates } from 'node:tls'
import ipaddr from 'ipaddr.js'
import type { FetchDocument, FetchedDocument } from '../authentication/remote-documents.ts'
import { type Network, networkContains } from '../lib/network.ts'
import { limits } from '../limits.ts'
import { release } from '../release.ts'

/**
 * Fetches a document from an address that somebody registered: the keys of an issuer or of a client. Somebody who may
 * register an address must not use it to reach what only this machine can reach. The server that answers must not be
 * able to keep this service busy.
 *
 *   - https only, certificates checked, no user in the address.
 *   - No redirects: the answer comes from the host that was registered, or there is none.
 *   - Only public addresses, unless a setting allows a network. The name is resolved here, and the connection goes to the
 *     address that was looked at, so a name that means something else a moment later (DNS rebinding) changes nothing.
 *   - Bytes, time and the size of the headers are bounded, and nothing is unpacked.
 *
 * node:https and not the global fetch: fetch takes no function that resolves names, unless a package is added for it. It
 * follows redirects and unpacks answers unless it is told, and reuses connections. A connection of its own for each fetch is
 * what we want here: there is one in some minutes.
 */
export interface FetchOptions {
  /** Networks that are not public, but may be reached. */
  readonly allowedNetworks: readonly Network[]
  /** Certificates of authorities that are trusted beside the usual ones, in PEM. */
  readonly authorities?: string | undefined
  /** Until a document must have arrived. */
  readonly milliseconds?: number
}

/** Why there is no document. Its message names no part of the answer. */
class FetchProblem extends Error {
  override readonly name = 'FetchProblem'
  /** The status of the answer, if there was one. */
  readonly status: number | undefined

  constructor(message: string, options: { readonly status?: number; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.status = options.status
  }
}

export function guardedFetch({
  allowedNetworks,
  authorities,
  milliseconds = limits.fetchMilliseconds,
}: FetchOptions): FetchDocument {
  const isAllowed = (address: string): boolean =>
    isPublic(address) || networkContains(allowedNetworks, address)
  const lookup = guardedLookup(isAllowed)
  const ca = authorities === undefined ? undefined : [...getCACertificates('default'), authorities]
  return (address, bytesMax = limits.fetchedBytesMax) =>
    new Promise((resolved, rejected) => {
      const url = readUrl(address)
      const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
      // Node resolves no literal address, so it would not ask us.
      if (isIP(host) !== 0 && !isAllowed(host))
        throw new FetchProblem(`${host} is no public address${privateHint}`)
      const sent = request(url, {
        agent: false,
        lookup,
        ...(ca === undefined ? {} : { ca }),
        minVersion: 'TLSv1.2',
        rejectUnauthorized: true,
        maxHeaderSize: limits.headerBytesMax,
        signal: AbortSignal.timeout(milliseconds),
        headers: {
          accept: 'application/json, application/jwk-set+json',
          'accept-encoding': 'identity',
          'user-agent': `mintmark/${release}`,
        },
      })
      sent.on('error', (error) => rejected(toProblem(error)))
      sent.on('response', (response) => receive(sent, response, { isAllowed, bytesMax }, resolved, rejected))
      sent.end()
    })
}

function readUrl(address: string): URL {
  if (!URL.canParse(address)) throw new FetchProblem('the address is no URL')
  const url = new URL(address)
  if (url.protocol !== 'https:') throw new FetchProblem('the address is not https')
  if (url.username !== '' || url.password !== '') throw new FetchProblem('the address names a user')
  return url
}

interface Bounds {
  readonly isAllowed: (address: string) => boolean
  readonly bytesMax: number
}

function receive(
  sent: ClientRequest,
  response: IncomingMessage,
  { isAllowed, bytesMax }: Bounds,
  resolved: (document: FetchedDocument) => void,
  rejected: (problem: FetchProblem) => void,
): void {
  const fail = (message: string): void => {
    rejected(new FetchProblem(message, { status: response.statusCode ?? 0 }))
    sent.destroy()
  }
  // What was connected, whatever resolved it.
  const isReachable = isAllowed(response.socket.remoteAddress ?? '')
  const problem = isReachable
    ? problemOf(response, bytesMax)
    : `the connection leads to no public address${privateHint}`
  if (problem !== undefined) fail(problem)
  const chunks: Buffer[] = []
  let bytes = 0
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > bytesMax) fail(tooLarge(bytesMax))
    else chunks.push(chunk)
  })
  response.on('error', (error) => rejected(toProblem(error)))
  response.on('end', () => {
    const text = Buffer.concat(chunks).toString('utf8')
    if (response.complete) resolved({ text, maxAgeSeconds: maxAgeOf(response.headers['cache-control']) })
    else fail('its answer breaks off')
  })
}

const privateHint = ' (MINTMARK_FETCH_PRIVATE_NETWORKS allows others)'

const tooLarge = (bytesMax: number) => `its answer has more than ${bytesMax} bytes`

/** What is wrong with an answer before its body. */
function problemOf(
  { statusCode: status = 0, headers }: IncomingMessage,
  bytesMax: number,
): string | undefined {
  if (status >= 300 && status < 400) return `it answers with a redirect (${status}), which is not followed`
  if (status !== 200) return `it answers with the status ${status}`
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') return 'its answer is compressed'
  return Number(headers['content-length'] ?? 0) > bytesMax ? tooLarge(bytesMax) : undefined
}

/** Seconds that the answer may be kept (RFC 9111 §5.2.2.1). */
function maxAgeOf(header: string | undefined): number | undefined {
  const found = /(?:^|[\s,])max-age=("?)(\d{1,9})\1(?:$|[\s,])/i.exec(header ?? '')
  return found === null ? undefined : Number(found[2])
}

/** Resolves a name as usual, and gives only the addresses that may be connected to. */
function guardedLookup(isAllowed: (address: string) => boolean): LookupFunction {
  return (name, options, done) => {
    const asked: LookupOptions = { ...options, all: true }
    resolve(name, asked, (error, found) => {
      if (error !== null) return done(error, [])
      const allowed = (found as unknown as LookupAddress[]).filter(({ address }) => isAllowed(address))
      const [first] = allowed
      if (first === undefined)
        return done(new FetchProblem(`${name} has no public address${privateHint}`) as never, [])
      if (options.all === true) return done(null, allowed)
      return done(null, first.address, first.family)
    })
  }
}

/** An address of the internet: none of this machine, of a private network, of the cloud's own services, or of a tunnel. */
function isPublic(address: string): boolean {
  const zone = address.indexOf('%')
  const text = zone === -1 ? address : address.slice(0, zone)
  if (isIP(text) === 0) return false
  const read = ipaddr.process(text)
  // Addresses that only carry one of IPv4 (NAT64, 6to4, Teredo) have a range of their own as well. What IANA has given out
  // begins with the bits 001 (RFC 4291 §2.4); anything else is of no use, or of another one (::10.0.0.1).
  const isGiven = !('parts' in read) || ((read.parts[0] ?? 0) & 0xe000) === 0x2000
  return isGiven && read.range() === 'unicast'
}

/** Nobody vouches for the certificate whom this service knows (the words of OpenSSL). */
const untrusted = /SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)/

function toProblem(error: Error): FetchProblem {
  if (error instanceof FetchProblem) return error
  const isLate = error.name === 'AbortError' || error.name === 'TimeoutError'
  const code = (error as NodeJS.ErrnoException).code ?? error.name
  const reached = untrusted.test(code)
    ? `its certificate is not trusted (${code}; MINTMARK_FETCH_CERTIFICATE_AUTHORITIES adds authorities)`
    : `it cannot be reached (${code})`
  const message = isLate ? 'it does not answer in time' : reached
  return new FetchProblem(message, { cause: error })
}
