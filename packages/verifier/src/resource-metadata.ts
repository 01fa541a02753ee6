import type { ReadOptions } from './options.ts'
import { proofAlgorithms } from './proof.ts'

/** The protected-resource document (RFC 9728 §2), and where it belongs (§3). */
export interface ResourceMetadata {
  /** As refusals name it (`resource_metadata`, §5.1). */
  readonly url: string
  /** Where this service must serve the document, as `application/json`. */
  readonly path: string
  readonly document: Readonly<Record<string, unknown>>
}

const wellKnown = '/.well-known/oauth-protected-resource'

/** @returns undefined if the service does not want to have one. */
export function resourceMetadata(options: ReadOptions): ResourceMetadata | undefined {
  const { audience, issuer, origin, scopesSupported } = options
  if (scopesSupported === undefined) return undefined
  if (origin === undefined)
    throw new TypeError(
      'createVerifier: origin must be set, because the audience is no URL that the document could be at.',
    )
  // RFC 9728 §3.1: the path of the resource comes after the well-known one.
  const ownPath =
    URL.canParse(audience) && new URL(audience).origin === origin ? new URL(audience).pathname : '/'
  const path = `${wellKnown}${ownPath === '/' ? '' : ownPath}`
  return {
    url: `${origin}${path}`,
    path,
    document: {
      resource: audience,
      authorization_servers: [issuer],
      scopes_supported: scopesSupported,
      bearer_methods_supported: ['header'],
      dpop_signing_alg_values_supported: proofAlgorithms,
    },
  }
}
