import { limits } from '../limits.ts'
import type { RefusalReason } from '../refusals.ts'
import type { CertificatePath } from './certificate.ts'
import { anyUsage, type CertificateFacts, clientAuthentication, keyUsages } from './certificate-reader.ts'
import { areNamesAllowed } from './name-constraints.ts'
import type { RevocationList } from './revocation-list.ts'

/**
 * The ways from a certificate to a CA (RFC 5280 §6). Time is not looked at: each way has the moments between which it is
 * right.
 *
 * First ways are sought by names, which costs nothing. Signatures are verified from the CA downwards, so no key of a
 * certificate is used before that certificate is known to be right: a caller can send any.
 */
export interface Trust {
  /** CAs, as the operator gave them. */
  readonly authorities: readonly CertificateFacts[]
  /** Undefined: none are asked for. */
  readonly revocationLists: readonly RevocationList[] | undefined
}

export interface Ways {
  readonly paths: readonly CertificatePath[]
  /** Why there is none. */
  readonly untrusted: RefusalReason
}

/** From the certificate of the caller up to the CA. */
type Chain = readonly CertificateFacts[]

/** What is wrong with the caller's own certificate, whoever issued it. */
export function leafFault(leaf: CertificateFacts): RefusalReason | undefined {
  if (!leaf.isVersion3 || leaf.isBeyondUs) return 'certificate_malformed'
  return leaf.hasStrongKey && leaf.hasStrongSignature ? undefined : 'certificate_weak'
}

export function findWays(leaf: CertificateFacts, sent: readonly CertificateFacts[], trust: Trust): Ways {
  const usage = leafUsageRefusal(leaf)
  if (usage !== undefined) return { paths: [], untrusted: usage }
  const paths: CertificatePath[] = []
  let untrusted: RefusalReason | undefined
  for (const chain of chainsByName(leaf, sent, trust.authorities)) {
    const found = judgeChain(chain, trust)
    if (typeof found === 'string') untrusted = moreTelling(untrusted, found)
    else paths.push(found)
  }
  return { paths, untrusted: untrusted ?? 'certificate_untrusted' }
}

/** A reason about a chain that was right so far says more than "there is no chain". */
function moreTelling(before: RefusalReason | undefined, found: RefusalReason): RefusalReason {
  return before === undefined || before === 'certificate_untrusted' ? found : before
}

/** A caller's certificate is for clients, and for nothing that signs certificates (RFC 5280 §4.2.1). */
function leafUsageRefusal({ isCa, keyUsage, extendedKeyUsage }: CertificateFacts): RefusalReason | undefined {
  const signs = keyUsage === undefined || (keyUsage & keyUsages.digitalSignature) !== 0
  const certifies = isCa || (keyUsage !== undefined && (keyUsage & keyUsages.keyCertSign) !== 0)
  const isForClients = extendedKeyUsage?.includes(clientAuthentication) === true
  return signs && !certifies && isForClients ? undefined : 'certificate_usage_wrong'
}

/** Each certificate that was sent is in a chain only once, so the search ends. */
function chainsByName(
  leaf: CertificateFacts,
  sent: readonly CertificateFacts[],
  authorities: readonly CertificateFacts[],
): Chain[] {
  const found: Chain[] = []
  let steps = 0
  const lengthen = (chain: Chain): void => {
    const last = chain.at(-1) as CertificateFacts
    for (const authority of authorities) {
      if (found.length >= limits.certificatePathsMax) return
      if (authority.subject === last.issuer && authority.subject !== '') found.push([...chain, authority])
    }
    for (const next of sent) {
      if (found.length >= limits.certificatePathsMax || steps >= limits.certificateStepsMax) return
      steps += 1
      if (next.subject === last.issuer && next.subject !== '' && !chain.includes(next))
        lengthen([...chain, next])
    }
  }
  lengthen([leaf])
  return found
}

function judgeChain(chain: Chain, { revocationLists }: Trust): CertificatePath | RefusalReason {
  const path = {
    notBefore: 0,
    notAfter: Number.POSITIVE_INFINITY,
    revocationKnownUntil: revocationLists && Number.POSITIVE_INFINITY,
  }
  for (let at = chain.length - 1; at >= 0; at -= 1) {
    const certificate = chain[at] as CertificateFacts
    path.notBefore = Math.max(path.notBefore, certificate.notBefore)
    path.notAfter = Math.min(path.notAfter, certificate.notAfter)
    const issuer = chain[at + 1]
    // The CA is the operator's: nobody has to sign it.
    if (issuer !== undefined) {
      if (!certificate.isSignedBy(issuer.publicKey)) return 'certificate_untrusted'
      const known = revocationKnownUntil(certificate, issuer, at === 0, revocationLists)
      if (typeof known === 'string') return known
      if (path.revocationKnownUntil !== undefined)
        path.revocationKnownUntil = Math.min(path.revocationKnownUntil, known)
    }
    if (at > 0 && !mayCertify(certificate, chain.slice(0, at), issuer === undefined))
      return 'certificate_untrusted'
  }
  return path
}

/** @param below what it certifies: first the caller's certificate, then the CAs between. */
function mayCertify(authority: CertificateFacts, below: Chain, isTrusted: boolean): boolean {
  const { isCa, keyUsage, extendedKeyUsage, pathLength, constraints } = authority
  const between = below.slice(1).filter(({ subject, issuer }) => subject !== issuer).length
  const isAllowed =
    isCa &&
    (keyUsage === undefined || (keyUsage & keyUsages.keyCertSign) !== 0) &&
    (extendedKeyUsage === undefined ||
      extendedKeyUsage.includes(clientAuthentication) ||
      extendedKeyUsage.includes(anyUsage)) &&
    (pathLength === undefined || between <= pathLength) &&
    !authority.isBeyondUs &&
    authority.hasStrongKey
  if (!isAllowed) return false
  if (!isTrusted && !(authority.isVersion3 && authority.hasStrongSignature)) return false
  if (constraints === undefined) return true
  // A CA that renewed its own certificate is no name that it certifies (RFC 5280 §6.1.4).
  const named = below.filter(({ subject, issuer }, at) => at === 0 || subject !== issuer)
  return named.every(({ constrainedNames }) => areNamesAllowed(constrainedNames, constraints))
}

/**
 * Until when it is known that a certificate is not revoked. The CA that issued the caller's certificate must have a list;
 * for the CAs between, a list counts if there is one.
 */
function revocationKnownUntil(
  certificate: CertificateFacts,
  issuer: CertificateFacts,
  isLeaf: boolean,
  lists: readonly RevocationList[] | undefined,
): number | RefusalReason {
  if (lists === undefined) return Number.POSITIVE_INFINITY
  const { keyUsage } = issuer
  const maySign = keyUsage === undefined || (keyUsage & keyUsages.cRLSign) !== 0
  const ofIssuer = maySign
    ? lists.filter((list) => list.issuer === issuer.subject && list.isSignedBy(issuer.publicKey))
    : []
  // A certificate that is in any list of its CA is revoked, also if the operator has left an old list beside the newer
  // one.
  if (ofIssuer.some(({ revoked }) => revoked.has(certificate.serialNumber))) return 'certificate_revoked'
  if (ofIssuer.length === 0) return isLeaf ? 'certificate_revocation_unknown' : Number.POSITIVE_INFINITY
  return Math.max(...ofIssuer.map(({ nextUpdate }) => nextUpdate))
}
