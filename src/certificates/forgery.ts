import { createPrivateKey, X509Certificate } from 'node:crypto'
import { newSerialNumber } from './authority.ts'
import type { AuthorityContext } from './open.ts'
import { generatePair, signAuthority, signCertificate } from './sign.ts'

/** A certificate of a CA that nobody knows, with its CA. In DER. Nobody has their keys afterwards. */
export interface Forgery {
  readonly leaf: Buffer
  readonly authority: Buffer
}

/** For trials whether somebody believes it. `now` in seconds since 1970. */
export async function makeForgery(
  now: number,
  randomBytes: AuthorityContext['randomBytes'],
): Promise<Forgery> {
  const validity = { notBefore: now - 60, notAfter: now + 3_600 }
  const [issuer, own] = [await generatePair(), await generatePair()]
  const certificate = await signAuthority({
    subject: 'nobody',
    serialNumber: newSerialNumber(randomBytes),
    privateKey: issuer.privateKey,
    permitted: undefined,
    ...validity,
  })
  const leaf = await signCertificate(
    { certificate, privateKey: createPrivateKey(issuer.privateKey) },
    {
      subject: 'proxy-check',
      serialNumber: newSerialNumber(randomBytes),
      publicKey: own.publicKey,
      names: [{ kind: 'dns', value: 'proxy-check.invalid' }],
      uses: ['client'],
      ...validity,
    },
  )
  return { leaf: new X509Certificate(leaf).raw, authority: new X509Certificate(certificate).raw }
}
