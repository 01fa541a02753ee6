/**
 * The JOSE vectors of Wycheproof (github.com/C2SP/wycheproof, testvectors_v1), where MINTMARK_WYCHEPROOF names the folder that
 * they are in. Nothing that they call invalid is accepted.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createVerifier, VerifyError } from '../src/index.ts'
import { fixedKeys } from '../src/key-source.ts'
import { algorithms } from '../src/keys.ts'
import { BoundedMap } from '../src/memory.ts'
import { verifySignature } from '../src/token.ts'
import { audience, issuer } from './fixtures.ts'

type Jwk = Record<string, unknown>
interface Group {
  readonly comment: string
  readonly private?: Jwk & { readonly keys?: readonly Jwk[] }
  readonly public?: Jwk & { readonly keys?: readonly Jwk[] }
  readonly tests: readonly {
    readonly tcId: number
    readonly comment: string
    readonly jws?: string
    readonly result: 'valid' | 'invalid'
  }[]
}

const folder = process.env['MINTMARK_WYCHEPROOF']
const files = ['json_web_signature.json', 'json_web_crypto.json', 'json_web_key.json']
const isHere = folder !== undefined && files.every((file) => existsSync(join(folder, file)))

/** As an issuer would publish the keys of a group: without what is private of a pair. */
function published({ public: publicKey, private: privateKey }: Group): unknown {
  const given = publicKey ?? privateKey ?? {}
  return { keys: (given.keys ?? [given]).map(({ d, p, q, dp, dq, qi, ...jwk }) => jwk) }
}

const groups = isHere
  ? files.flatMap((file) => {
      const { testGroups }: { testGroups: Group[] } = JSON.parse(readFileSync(join(folder, file), 'utf8'))
      return testGroups.map((group) => ({ file, group }))
    })
  : []
const cases = groups.flatMap(({ file, group }) =>
  group.tests.map(({ tcId, comment, jws = '', result }) => ({
    name: `${file} ${tcId} ${group.comment}: ${comment}`,
    keys: published(group),
    jws,
    result,
  })),
)

/** The signature alone, of tokens of any type: these have no claims. */
const isAccepted = (jws: string, jwks: unknown): Promise<boolean> =>
  verifySignature(jws, {
    algorithms,
    isType: () => true,
    keys: fixedKeys(jwks),
    headers: new BoundedMap(1),
  }).then(
    () => true,
    (error: unknown) => {
      if (error instanceof VerifyError) return false
      throw error
    },
  )

describe.runIf(isHere)('Wycheproof', () => {
  test('has no false accept', async () => {
    const invalid = cases.filter(({ result }) => result === 'invalid')
    expect(invalid.length).toBeGreaterThan(400)
    const accepted: string[] = []
    for (const { name, jws, keys } of invalid) if (await isAccepted(jws, keys)) accepted.push(name)
    expect(accepted).toEqual([])
  })

  test('and accepts what is valid, of the algorithms that there are and keys that say what they are for', async () => {
    const isOurs = ({ jws, keys }: (typeof cases)[number]): boolean => {
      const { alg } = JSON.parse(Buffer.from(jws.split('.')[0] ?? '', 'base64url').toString())
      return algorithms.includes(alg) && (keys as { keys: Jwk[] }).keys.some((jwk) => jwk['alg'] === alg)
    }
    const valid = cases.filter((one) => one.result === 'valid' && one.jws !== '' && isOurs(one))
    expect(valid.length).toBeGreaterThan(15)
    const refused: string[] = []
    for (const { name, jws, keys } of valid) if (!(await isAccepted(jws, keys))) refused.push(name)
    expect(refused).toEqual([])
  })

  test('none of them is an access token', async () => {
    for (const { name, jws, keys } of cases) {
      const verifier = createVerifier({ issuer, audience, algorithms, keys })
      await expect(verifier.verify(jws), name).rejects.toBeInstanceOf(VerifyError)
    }
  })
})

test.runIf(!isHere)('the vectors of Wycheproof are not at MINTMARK_WYCHEPROOF', (context) => context.skip())
