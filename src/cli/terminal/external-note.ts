import type { Registration } from '../../administration/definition.ts'
import { note } from './output.ts'

/** Whoever verifies tokens for an external resource fetches the keys from the issuer, and is somebody else. */
export function noteOfExternal(registration: Pick<Registration, 'resources'>, issuer: string): void {
  const [first] = registration.resources.filter(({ external }) => external === true)
  if (first === undefined || isPublic(issuer)) return
  note(
    `${first.audience}: is external, and the issuer is ${issuer} here (MINTMARK_ISSUER). Clouds fetch the keys from a public ` +
      'https address without a port. Who cannot reach it can be given the keys: "bin/mintmark keys export --jwks".',
  )
}

function isPublic(issuer: string): boolean {
  const { protocol, port, hostname } = new URL(issuer)
  return protocol === 'https:' && port === '' && hostname.includes('.') && !/^[\d.]+$/.test(hostname)
}
