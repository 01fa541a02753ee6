import { randomBytes, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { AuthorityContext } from '../../certificates/open.ts'
import { type Config, readCommandConfig } from '../../config.ts'
import { systemClock } from '../../lib/clock.ts'
import { throwCertificateProblem } from './certificate-sentences.ts'
import type { OptionDefinitions } from './command.ts'
import { shellQuoted } from './shell.ts'
import { terminal } from './terminal.ts'

/** What the commands of the development CA share. */

export const directoryOption = {
  directory: {
    type: 'string',
    value: 'DIR',
    description: 'the directory of the CA; by default "ca" in the data directory',
  },
} as const satisfies OptionDefinitions

/** What it is not. Said when it is created, and in the help. */
export const developmentOnly =
  'This CA is for development and tests. Its key is in a file without a passphrase. Nobody checks who asks\n' +
  'for a certificate. A program that reads no CRL does not know what was revoked. For production use cert-manager,\n' +
  'SPIRE, Vault or the CA of your platform: docs/guides/development-ca.md.'

/** Runs work on the CA. Its problems become sentences. */
export async function withAuthority<Result>(
  directory: string | undefined,
  work: (context: AuthorityContext) => Result | Promise<Result>,
): Promise<Result> {
  try {
    return await work({
      directory: directory === undefined ? defaultDirectory() : resolve(directory),
      now: systemClock.nowSeconds(),
      randomBytes,
    })
  } catch (error) {
    return throwCertificateProblem(error)
  }
}

function defaultDirectory(): string {
  return directoryIn(readCommandConfig(terminal().environment))
}

const directoryIn = ({ dataDirectory }: Pick<Config, 'dataDirectory'>): string => join(dataDirectory, 'ca')

/** What curl needs where the CA of the data directory issued the service's certificate: nobody trusts it otherwise. */
export function curlTrustOption(config: Config): string {
  const file = join(directoryIn(config), 'ca.crt')
  if (config.tls === undefined) return ''
  try {
    const isIssuer = new X509Certificate(config.tls.certificate).checkIssued(
      new X509Certificate(readFileSync(file)),
    )
    return isIssuer ? ` --cacert ${shellQuoted(file)}` : ''
  } catch {
    return ''
  }
}
