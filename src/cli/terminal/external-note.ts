import type { Registration } from '../../administration/definition.ts'
import type { Config } from '../../config.ts'
import { OperatorError } from '../../errors.ts'
import { note } from './output.ts'

/**
 * The verifier of tokens for an external resource is outside of this organisation, and must reach the issuer to fetch
 * the keys.
 */
export function noteOfExternal(
  registration: Pick<Registration, 'resources'>,
  config: Pick<Config, 'issuer'>,
): void {
  const [first] = registration.resources.filter(({ external }) => external === true)
  if (first === undefined) return
  const issuer = issuerOf(config)
  if (issuer === undefined || isPublic(issuer)) return
  note(
    `${first.audience}: is external, and the issuer is ${issuer} here (MINTMARK_ISSUER). Clouds fetch the keys from a public ` +
      'https address without a port. If the cloud cannot reach it, give it the keys: "bin/mintmark keys export ' +
      '--jwks".',
  )
}

/** A command that registers needs no issuer. Where none is set, there is nothing to say about it. */
function issuerOf(config: Pick<Config, 'issuer'>): string | undefined {
  try {
    return config.issuer
  } catch (error) {
    if (error instanceof OperatorError) return undefined
    throw error
  }
}

function isPublic(issuer: string): boolean {
  const { protocol, port, hostname } = new URL(issuer)
  return protocol === 'https:' && port === '' && hostname.includes('.') && !/^[\d.]+$/.test(hostname)
}
