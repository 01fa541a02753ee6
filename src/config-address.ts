import { hostname } from 'node:os'
import type { TlsPair } from './config-tls.ts'
import { OperatorError } from './errors.ts'
import { networkContains, parseNetwork } from './lib/network.ts'
import { type Environment, readSetting } from './settings.ts'

/** What the host, the issuer and the permission for plain HTTP mean together. For config.ts. */

interface AddressConfig {
  readonly host: string
  readonly tls: TlsPair | undefined
}

export function requireTls({ host, tls }: AddressConfig, environment: Environment): void {
  if (tls !== undefined || plainHttpAllowed(environment) || isLoopback(host)) return
  throw new OperatorError(
    `HOST: other machines can reach ${host}, and plain HTTP would show them every secret and token. ` +
      'Set MINTMARK_TLS_CERTIFICATE_FILE and MINTMARK_TLS_PRIVATE_KEY_FILE. If a proxy in front of this service ' +
      `provides TLS, set MINTMARK_DANGEROUSLY_SERVE_PLAIN_HTTP=yes instead.${fromShell(host)}`,
  )
}

/** tcsh and the profile of some systems export HOST. */
function fromShell(host: string): string {
  return host === hostname()
    ? ' If your shell set HOST, to the name of this machine, write HOST=127.0.0.1.'
    : ''
}

export function defaultIssuer(host: string, port: number, tls: boolean): string {
  if (!isLoopback(host)) {
    throw new OperatorError(
      'MINTMARK_ISSUER: must be set when HOST is not a loopback address. Set it to the URL of this service for ' +
        'clients and relying services, for example https://tokens.example.com.',
    )
  }
  // An origin omits the default port of its scheme, so the issuer has only one spelling.
  return new URL(`${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`).origin
}

export function checkedIssuer(issuer: string, speaksTls: boolean, environment: Environment): string {
  // Read in any case, so that a wrong value is refused.
  const isPlainAllowed = plainHttpAllowed(environment)
  if (speaksTls && issuer.startsWith('http:'))
    throw new OperatorError(
      `MINTMARK_ISSUER: is "${issuer}", and the service speaks TLS, so nobody could reach the addresses in its metadata. ` +
        'Write https.',
    )
  if (issuer.startsWith('https:') || isPlainAllowed || isLoopback(new URL(issuer).hostname)) return issuer
  throw new OperatorError(`MINTMARK_ISSUER: must be an https URL (http only on loopback); it is "${issuer}".`)
}

function plainHttpAllowed(environment: Environment): boolean {
  return readSetting(environment, 'MINTMARK_DANGEROUSLY_SERVE_PLAIN_HTTP') === 'yes'
}

const loopback = [parseNetwork('127.0.0.0/8'), parseNetwork('::1')]

export function isLoopback(host: string): boolean {
  return host === 'localhost' || networkContains(loopback, host.replace(/^\[(.*)\]$/, '$1'))
}
