import { isIP } from 'node:net'
import { type Network, networkWithin, parseNetwork } from '../lib/network.ts'
import { type AlternativeName, parseAlternativeName } from './alternative-name.ts'
import { CertificateProblem } from './problem.ts'

/**
 * What a CA may sign for, if it was made with limits: domains with everything below them, and networks. They are in its
 * certificate as name constraints (RFC 5280 §4.2.1.10), so every verifier enforces them too.
 */
export interface Permitted {
  readonly domains: readonly string[]
  readonly networks: readonly Network[]
}

/** What every CA with limits may sign for as well: it can harm nobody but this machine. */
const always = ['localhost', '127.0.0.0/8', '::1']

/** @returns undefined if there are no limits. */
export function parsePermitted(texts: readonly string[]): Permitted | undefined {
  if (texts.length === 0) return undefined
  const domains = new Set<string>()
  const networks = new Map<string, Network>()
  for (const text of [...texts, ...always]) {
    const network = readNetwork(text)
    if (network === undefined) domains.add(readDomain(text))
    else networks.set(`${network.address}/${network.prefixLength}`, network)
  }
  return { domains: [...domains], networks: [...networks.values()] }
}

function readNetwork(text: string): Network | undefined {
  if (isIP(text.split('/')[0] ?? '') === 0) return undefined
  try {
    return parseNetwork(text)
  } catch (error) {
    throw new CertificateProblem('permitted_malformed', { text }, { cause: error })
  }
}

function readDomain(text: string): string {
  try {
    const { value } = parseAlternativeName('dns', text)
    if (!value.startsWith('*')) return value
  } catch (error) {
    if (!(error instanceof CertificateProblem)) throw error
  }
  throw new CertificateProblem('permitted_malformed', { text })
}

/** As people write them, for messages and for the record of the CA. */
export function permittedTexts(permitted: Permitted): readonly string[] {
  return [
    ...permitted.domains,
    ...permitted.networks.map(({ address, prefixLength }) => `${address}/${prefixLength}`),
  ]
}

/**
 * @param subject the CN. OpenSSL takes one with a dot for a host if there is no DNS name, and holds it to the limits.
 * @throws CertificateProblem for the first name that the CA may not sign for.
 */
export function requirePermitted(
  subject: string,
  names: readonly AlternativeName[],
  permitted: Permitted | undefined,
): void {
  if (permitted === undefined) return
  const isHost = subject.includes('.') && !names.some(({ kind }) => kind === 'dns')
  if (isHost && !isPermitted({ kind: 'dns', value: subject }, permitted))
    throw new CertificateProblem('name_not_permitted', { name: subject })
  for (const name of names) {
    if (isPermitted(name, permitted)) continue
    throw new CertificateProblem('alternative_name_not_permitted', {
      kind: name.kind,
      text: name.value,
      permitted: permittedTexts(permitted),
    })
  }
}

function isPermitted({ kind, value }: AlternativeName, { domains, networks }: Permitted): boolean {
  if (kind === 'ip') return networks.some((network) => networkWithin(parseNetwork(value), network))
  const host =
    kind === 'dns' ? value.replace(/^\*\./, '') : kind === 'email' ? value.replace(/^.*@/, '') : hostOf(value)
  // A URI without a host, or with an address as its host, is one that verifiers cannot hold to a domain.
  return domains.some((domain) => host === domain || host.endsWith(`.${domain}`))
}

function hostOf(uri: string): string {
  return (/^[^:]+:\/\/([^/?:]*)/.exec(uri)?.[1] ?? '').toLowerCase()
}
