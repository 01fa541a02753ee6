import { boundedCache } from '../lib/bounded-cache.ts'
import { pemBlocks } from '../lib/pem.ts'
import { limits } from '../limits.ts'
import type { RefusalReason } from '../refusals.ts'
import type { JudgedCertificate, PresentedCertificate } from './certificate.ts'
import { findWays, leafFault, type Trust } from './certificate-chain.ts'
import { type CertificateFacts, keyUsages, readCertificate } from './certificate-reader.ts'
import { readClientKey } from './client-key.ts'
import { readRevocationLists } from './revocation-list.ts'

/**
 * Judges certificates of callers against the CAs and revocation lists of today. What it finds is kept for as long as those
 * stay the same, so that a request on an open connection costs a look into a map. Nothing that changes with time is in what
 * it finds (certificate.ts).
 */
export interface TrustFiles {
  /** CAs in PEM; undefined: none. Then only certificates count that a client is registered with. */
  readonly authorities: string | undefined
  /** In PEM; undefined: revocation is not checked. */
  readonly revocationLists: string | undefined
}

/** A file cannot be used. The message completes "the file …". */
export class TrustProblem extends Error {
  override readonly name = 'TrustProblem'
  readonly file: keyof TrustFiles

  constructor(file: keyof TrustFiles, message: string, options?: ErrorOptions) {
    super(message, options)
    this.file = file
  }
}

export class CertificateJudge {
  #trust: Trust
  #files: TrustFiles
  readonly #judged = boundedCache<string, JudgedCertificate>(limits.judgedCertificatesMax)
  #ofConnections = new WeakMap<PresentedCertificate, JudgedCertificate>()

  /** @throws TrustProblem */
  constructor(files: TrustFiles) {
    this.#trust = readTrust(files)
    this.#files = files
  }

  /**
   * Uses other CAs and lists from now on, for open connections as well.
   * @throws TrustProblem, and then everything stays as it was.
   */
  replace(files: TrustFiles): void {
    const { authorities, revocationLists } = this.#files
    if (files.authorities === authorities && files.revocationLists === revocationLists) return
    this.#trust = readTrust(files)
    this.#files = files
    this.#judged.clear()
    this.#ofConnections = new WeakMap()
  }

  judge(presented: PresentedCertificate): JudgedCertificate {
    const before = this.#ofConnections.get(presented)
    if (before !== undefined) return before
    const judged = this.#judged.get(presented.id) ?? judge(presented, this.#trust)
    this.#judged.set(presented.id, judged)
    this.#ofConnections.set(presented, judged)
    return judged
  }

  /** When the first revocation list is too old to rely on, in seconds since 1970; undefined without any. */
  get listsEndAt(): number | undefined {
    const { revocationLists: lists } = this.#trust
    return lists === undefined ? undefined : Math.min(...lists.map(({ nextUpdate }) => nextUpdate))
  }
}

const nothing = { subject: '', dns: [], uris: [], addresses: [], emails: [] }

function judge({ leaf, intermediates, id }: PresentedCertificate, trust: Trust): JudgedCertificate {
  let facts: CertificateFacts
  let sent: CertificateFacts[]
  try {
    facts = readCertificate(leaf)
  } catch {
    return faulty(id, 'certificate_malformed')
  }
  const { thumbprint, names, notBefore, notAfter, publicKey } = facts
  const fault = leafFault(facts)
  const own = { thumbprint, names, notBefore, notAfter, fault, keyThumbprint: keyThumbprint(publicKey) }
  try {
    if (intermediates.length >= limits.certificatesPresentedMax) throw new Error('has sent too many')
    sent = intermediates.map(readCertificate)
  } catch {
    return { ...own, paths: [], untrusted: 'certificate_chain_malformed' }
  }
  if (fault !== undefined) return { ...own, paths: [], untrusted: fault }
  return { ...own, ...findWays(facts, sent, trust) }
}

/** For the record, all of it has a name. */
function faulty(id: string, fault: RefusalReason): JudgedCertificate {
  return {
    thumbprint: id,
    names: nothing,
    keyThumbprint: undefined,
    notBefore: 0,
    notAfter: 0,
    fault,
    paths: [],
    untrusted: fault,
  }
}

function keyThumbprint(publicKey: CertificateFacts['publicKey']): string | undefined {
  try {
    const read = readClientKey(publicKey.export({ format: 'jwk' }))
    return 'thumbprint' in read ? read.thumbprint : undefined
  } catch {
    // This kind of key cannot be a JSON Web Key.
    return undefined
  }
}

// ── The files ────────────────────────────────────────────────────────────────────────────────────────────────────────

function readTrust({ authorities, revocationLists }: TrustFiles): Trust {
  return {
    authorities: authorities === undefined ? [] : inFile('authorities', () => readAuthorities(authorities)),
    revocationLists:
      revocationLists === undefined
        ? undefined
        : inFile('revocationLists', () => readRevocationLists(revocationLists)),
  }
}

function inFile<Read>(file: keyof TrustFiles, read: () => Read): Read {
  try {
    return read()
  } catch (error) {
    throw new TrustProblem(file, (error as Error).message, { cause: error })
  }
}

/**
 * One unusable CA refuses the whole file: otherwise the callers with its certificates would be refused without a
 * reason.
 */
function readAuthorities(text: string): CertificateFacts[] {
  const blocks = pemBlocks(text)
  if (blocks.length === 0) throw new Error('has no certificate in PEM')
  if (blocks.length > limits.trustedCertificatesMax)
    throw new Error(`has more than ${limits.trustedCertificatesMax} certificates`)
  return blocks.map(({ label, der }, index) => {
    const which = `has as its block ${index + 1}`
    if (label !== 'CERTIFICATE') throw new Error(`${which} something else than a certificate: ${label}`)
    let facts: CertificateFacts
    try {
      facts = readCertificate(der)
    } catch (error) {
      throw new Error(`${which} a certificate that is malformed`, { cause: error })
    }
    // Somebody with the key of such a certificate could sign other certificates with it.
    const { isCa, keyUsage } = facts
    if (!isCa || (keyUsage !== undefined && (keyUsage & keyUsages.keyCertSign) === 0))
      throw new Error(`${which} a certificate that is no CA, so it issues none`)
    if (!facts.hasStrongKey) throw new Error(`${which} a CA with a key that is too weak`)
    if (facts.isBeyondUs) throw new Error(`${which} a CA with a critical extension that is not known here`)
    return facts
  })
}
