/** The ways from a certificate to a CA, by what was read of them. With certificates: certificate-judge.test.ts. */
import type { KeyObject } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { findWays, type Trust } from '../../src/authentication/certificate-chain.ts'
import {
  type CertificateFacts,
  clientAuthentication,
  keyUsages,
} from '../../src/authentication/certificate-reader.ts'
import type { RevocationList } from '../../src/authentication/revocation-list.ts'
import { limits } from '../../src/limits.ts'

type Changes = Partial<CertificateFacts> & { readonly signer?: CertificateFacts }

/** A key is any object here, and a signature is right for the key of its signer. */
function facts({ signer, ...changes }: Changes): CertificateFacts {
  return {
    der: Buffer.alloc(0),
    thumbprint: '',
    subject: '',
    issuer: signer?.subject ?? '',
    names: { subject: '', dns: [], uris: [], addresses: [], emails: [] },
    constrainedNames: [],
    notBefore: 100,
    notAfter: 900,
    serialNumber: '01',
    isCa: false,
    pathLength: undefined,
    keyUsage: undefined,
    extendedKeyUsage: undefined,
    constraints: undefined,
    isBeyondUs: false,
    isVersion3: true,
    hasStrongSignature: true,
    publicKey: {} as KeyObject,
    hasStrongKey: true,
    isSignedBy: (key) => key === signer?.publicKey,
    ...changes,
  }
}
const ca = (subject: string, changes: Changes = {}) => facts({ subject, isCa: true, ...changes })
const leafOf = (signer: CertificateFacts, changes: Changes = {}) =>
  facts({ subject: 'leaf', signer, extendedKeyUsage: [clientAuthentication], ...changes })

const list = (signer: CertificateFacts, changes: Partial<RevocationList> = {}): RevocationList => ({
  issuer: signer.subject,
  thisUpdate: 0,
  nextUpdate: 500,
  revoked: new Set(),
  isSignedBy: (key) => key === signer.publicKey,
  ...changes,
})
const withLeaf = { revoked: new Set(['01']) }

const ways = (
  leaf: CertificateFacts,
  sent: readonly CertificateFacts[],
  authorities: readonly CertificateFacts[],
  revocationLists?: Trust['revocationLists'],
) => findWays(leaf, sent, { authorities, revocationLists })
const path = { notBefore: 100, notAfter: 900, revocationKnownUntil: undefined }

const root = ca('root')
const leaf = leafOf(root)

describe('a way', () => {
  test('is right while all of its certificates are', () => {
    const between = ca('between', { signer: root, notBefore: 200, notAfter: 950 })
    const found = ways(leafOf(between), [between], [{ ...root, notAfter: 800 }])
    expect(found.paths).toEqual([{ ...path, notBefore: 200, notAfter: 800 }])
  })

  test('needs no signature and no version of the CA, which the operator trusts', () => {
    const old = ca('old', { isVersion3: false, hasStrongSignature: false })
    expect(ways(leafOf(old), [], [old]).paths).toEqual([path])
  })

  test('goes by the names, whatever a key would verify', () => {
    const between = ca('between', { signer: root })
    expect(ways(leafOf(root, { issuer: 'other' }), [], [root]).paths).toEqual([])
    expect(ways(leafOf(between, { issuer: 'other' }), [between], [root]).paths).toEqual([])
    const nameless = ca('')
    expect(ways(leafOf(nameless), [], [nameless]).paths).toEqual([])
    const namelessBetween = ca('', { signer: root })
    expect(ways(leafOf(namelessBetween), [namelessBetween], [root]).paths).toEqual([])
  })

  test('is sought among so many, and no more', () => {
    const { certificatePathsMax: pathsMax, certificateStepsMax: stepsMax } = limits
    const same = Array.from({ length: pathsMax + 1 }, () => root)
    expect(ways(leaf, [], same).paths).toHaveLength(pathsMax)
    const wrong = Array.from({ length: pathsMax }, () => ca('root'))
    expect(ways(leaf, [], [...wrong.slice(1), root]).paths).toHaveLength(1)
    expect(ways(leaf, [], [...wrong, root]).paths).toEqual([])
    const between = ca('between', { signer: root })
    const others = Array.from({ length: stepsMax }, () => ca('other'))
    expect(ways(leafOf(between), [...others.slice(1), between], [root]).paths).toHaveLength(1)
    expect(ways(leafOf(between), [...others, between], [root]).paths).toEqual([])
  })

  test('over a CA that renewed its certificate by itself is not held to the name of that', () => {
    const dns = (value: string) => ({ type: 'dns', value }) as const
    const constraints = { permitted: [dns('a.example')], excluded: [] }
    const limited = ca('limited', { constraints })
    const [inside, outside] = [[dns('a.example')], [dns('b.example')]]
    const renewed = ca('limited', { signer: limited, constrainedNames: outside })
    const of = (constrainedNames: typeof inside, changes: Changes = {}) =>
      ways(leafOf(renewed, { constrainedNames, ...changes }), [renewed], [limited]).paths
    expect(of(inside)).toHaveLength(1)
    expect(of(outside)).toEqual([])
    // The caller's own certificate is one that it certifies, whatever its subject is.
    expect(of(outside, { subject: 'limited' })).toEqual([])
    const other = ca('other', { signer: limited, constrainedNames: outside })
    expect(ways(leafOf(other, { constrainedNames: inside }), [other], [limited]).paths).toEqual([])
  })
})

describe('revocation lists', () => {
  test('are not asked for where there are none', () => {
    expect(ways(leaf, [], [root]).paths).toEqual([path])
    expect(ways(leaf, [], [root], [])).toMatchObject({ untrusted: 'certificate_revocation_unknown' })
  })

  test('say until when it is known, the newest of them', () => {
    const lists = [list(root), list(root, { nextUpdate: 700 }), list(root, { nextUpdate: 600 })]
    expect(ways(leaf, [], [root], lists).paths).toEqual([{ ...path, revocationKnownUntil: 700 }])
  })

  test('count in the name of the CA and signed by it, which may sign lists if it does not say what it may', () => {
    const listed = (changes: Partial<RevocationList>) => ways(leaf, [], [root], [list(root, changes)])
    expect(listed({ issuer: 'other' }).untrusted).toBe('certificate_revocation_unknown')
    expect(listed({ isSignedBy: () => false }).untrusted).toBe('certificate_revocation_unknown')
    const silent = ca('silent', { keyUsage: keyUsages.keyCertSign })
    expect(ways(leafOf(silent), [], [silent], [list(silent)]).paths).toEqual([])
    const both = ca('both', { keyUsage: keyUsages.keyCertSign | keyUsages.cRLSign })
    expect(ways(leafOf(both), [], [both], [list(both)]).paths).toHaveLength(1)
  })
})

test('of several ways that are wrong, the first one whose signatures were right is told', () => {
  const wrong = ca('root')
  const lists = [list(root, withLeaf)]
  expect(ways(leaf, [], [root, wrong], lists).untrusted).toBe('certificate_revoked')
  expect(ways(leaf, [], [wrong, root], lists).untrusted).toBe('certificate_revoked')
  // Another certificate of the same CA that may not sign lists.
  const silent = { ...root, keyUsage: keyUsages.keyCertSign }
  expect(ways(leaf, [], [root, silent], lists).untrusted).toBe('certificate_revoked')
  expect(ways(leaf, [], [silent, root], lists).untrusted).toBe('certificate_revocation_unknown')
  expect(ways(leaf, [], []).untrusted).toBe('certificate_untrusted')
})
