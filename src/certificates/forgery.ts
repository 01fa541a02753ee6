import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { newSerialNumber } from './authority.ts'
import type { AuthorityContext } from './open.ts'
import { generatePair, signAuthority, signCertificate } from './sign.ts'

/** Certificates of a CA that nobody knows, with their CA, whose key is not kept. */
export interface Forgery {
  /** In DER. */
  readonly leaf: Buffer
  readonly authority: Buffer
  /** Another one, whose key is there. In PEM. */
  readonly own: { readonly certificate: string; readonly privateKey: string }
}

/** For trials whether somebody believes it. `now` in seconds since 1970. */
export async function makeForgery(
  now: number,
  randomBytes: AuthorityContext['randomBytes'],
): Promise<Forgery> {
  const validity = { notBefore: now - 60, notAfter: now + 3_600 }
  const issuer = await generatePair()
  const certificate = await signAuthority({
    subject: 'nobody',
    serialNumber: newSerialNumber(randomBytes),
    privateKey: issuer.privateKey,
    permitted: undefined,
    ...validity,
  })
  const signed = async (publicKey: KeyObject) =>
    await signCertificate(
      { certificate, privateKey: createPrivateKey(issuer.privateKey) },
      {
        subject: 'proxy-check',
        serialNumber: newSerialNumber(randomBytes),
        publicKey,
        names: [{ kind: 'dns', value: 'proxy-check.invalid' }],
        uses: ['client'],
        ...validity,
      },
    )
  const [claimed, own] = [await generatePair(), await generatePair()]
  return {
    leaf: new X509Certificate(await signed(claimed.publicKey)).raw,
    authority: new X509Certificate(certificate).raw,
    own: { certificate: await signed(own.publicKey), privateKey: own.privateKey },
  }
}
