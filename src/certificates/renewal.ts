import { createPublicKey } from 'node:crypto'
import { type Keys, sign, writeRecord } from './authority.ts'
import { readPairFile, whileLocked } from './files.ts'
import { isDue } from './lifetime.ts'
import { type AuthorityContext, openSigner, readCertificate, type Signer } from './open.ts'
import { CertificateProblem } from './problem.ts'
import { type IssuedCertificate, latestOfEach, requireIssued } from './record.ts'
import { generatePair } from './sign.ts'

export interface RenewOptions {
  readonly days: number | undefined
  /** Otherwise the certificate is for the same key, and the two files belong together at every moment. */
  readonly withNewKey: boolean
}

/** Renews the certificate of a name: the same names and uses, and the same lifetime unless another is given. */
export async function renewCertificate(
  context: AuthorityContext,
  name: string,
  options: RenewOptions,
): Promise<IssuedCertificate> {
  return await whileLocked(context.directory, async () => {
    const signer = openSigner(context)
    return await renew(context, signer, requireIssued(signer.record, name), options)
  })
}

/** Renews all certificates of which less than a third of their life is left. Also writes a new list. */
export async function renewDue(
  context: AuthorityContext,
  options: RenewOptions,
): Promise<readonly IssuedCertificate[]> {
  return await whileLocked(context.directory, async () => {
    const signer = openSigner(context)
    await writeRecord(context, signer, signer.record)
    const renewed: IssuedCertificate[] = []
    for (const before of latestOfEach(signer.record)) {
      if (before.revokedAt === undefined && isDue(before, context.now))
        renewed.push(await renew(context, signer, before, options))
    }
    return renewed
  })
}

async function renew(
  context: AuthorityContext,
  signer: Signer,
  before: IssuedCertificate,
  { days, withNewKey }: RenewOptions,
): Promise<IssuedCertificate> {
  const { name, names, uses } = before
  if (before.revokedAt !== undefined) throw new CertificateProblem('certificate_revoked', { name })
  const keys = (withNewKey ? undefined : keysInPlace(context.directory, name)) ?? (await generatePair())
  return await sign(context, signer, { name, names, uses, days }, before.expiresAt - before.issuedAt, keys)
}

/** The keys of the certificate that is in place. The private one may be elsewhere. */
function keysInPlace(directory: string, name: string): Keys | undefined {
  const certificate = readPairFile(directory, name, 'certificate')
  const privateKey = readPairFile(directory, name, 'key')
  const path = `${directory}/${name}`
  if (certificate === undefined) return privateKey === undefined ? undefined : keysOf(privateKey, path)
  const { publicKey } = readCertificate(certificate, `${path}/tls.crt`)
  if (privateKey !== undefined && !keysOf(privateKey, path).publicKey.equals(publicKey))
    throw new CertificateProblem('certificate_differs', { path })
  return { publicKey, privateKey }
}

function keysOf(privateKey: string, path: string): Keys {
  try {
    return { privateKey, publicKey: createPublicKey(privateKey) }
  } catch (error) {
    throw new CertificateProblem('certificate_differs', { path }, { cause: error })
  }
}
