/**
 * What clouds and others say of a token that they accept, from their documents (docs/guides/accepted-elsewhere.md names each
 * source, and when it was read). Each rule comes with a change that breaks it, so that it is known to notice one.
 */

/** A token, and what its consumer fetches from the issuer. */
export interface Minted {
  readonly token: string
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
  readonly keys: readonly Readonly<Record<string, unknown>>[]
  readonly metadata: Readonly<Record<string, unknown>>
  /** What the consumer was told to expect. */
  readonly expected: { readonly issuer: string; readonly audience: string; readonly subject: string }
}

export interface DocumentedRule {
  readonly says: string
  /** Stands in the guide. */
  readonly source: string
  readonly holds: (minted: Minted) => boolean
  readonly broken: (minted: Minted) => Minted
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const isNumber = (value: unknown): value is number => Number.isSafeInteger(value)
const withClaims = (minted: Minted, claims: object): Minted => ({
  ...minted,
  claims: { ...minted.claims, ...claims },
})
const withHeader = (minted: Minted, header: object): Minted => ({
  ...minted,
  header: { ...minted.header, ...header },
})
const withIssuer = (minted: Minted, issuer: string): Minted => ({
  ...withClaims(minted, { iss: issuer }),
  expected: { ...minted.expected, issuer },
})

const signedBy = (source: string, ...algorithms: readonly string[]): DocumentedRule => ({
  says: `signed with ${algorithms.join(' or ')}`,
  source,
  holds: ({ header }) => algorithms.includes(text(header['alg'])),
  broken: (minted) => withHeader(minted, { alg: 'EdDSA' }),
})
const expectedClaim = (
  source: string,
  claim: 'iss' | 'sub' | 'aud',
  of: keyof Minted['expected'],
): DocumentedRule => ({
  says: `${claim} letter by letter`,
  source,
  holds: ({ claims, expected }) => claims[claim] === expected[of],
  broken: (minted) => withClaims(minted, { [claim]: `${text(minted.claims[claim])}/` }),
})
const characters = (source: string, claim: string, least: number, most: number): DocumentedRule => ({
  says: `${claim} of ${least} to ${most} bytes`,
  source,
  holds: ({ claims }) => {
    const length = Buffer.byteLength(text(claims[claim]))
    return length >= least && length <= most
  },
  broken: (minted) => withClaims(minted, { [claim]: 'x'.repeat(most + 1) }),
})
const times = (source: string): DocumentedRule => ({
  says: 'iat and exp',
  source,
  holds: ({ claims: { iat, exp } }) => isNumber(iat) && isNumber(exp) && exp > iat,
  broken: (minted) => withClaims(minted, { iat: undefined }),
})

const sts = 'https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html'
const iam = 'https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html'
const iamProvider = 'https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html'
const sessionTags = 'https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html'
const tagPrefix = 'https://aws.amazon.com/tags/principal_tags/'

const tagsOf = ({ claims }: Minted): [string, unknown][] =>
  Object.entries(claims)
    .filter(([name]) => name.startsWith(tagPrefix))
    .map(([name, value]) => [name.slice(tagPrefix.length), value])

const aws: readonly DocumentedRule[] = [
  {
    says: 'the issuer is an https URL without a query',
    source: iamProvider,
    holds: ({ claims }) => /^https:\/\/[^?#]+$/.test(text(claims['iss'])),
    broken: (minted) => withIssuer(minted, 'http://tokens.example.com'),
  },
  {
    says: 'the URL has no port',
    source: iam,
    holds: ({ claims }) => new URL(text(claims['iss'])).port === '',
    broken: (minted) => withIssuer(minted, 'https://tokens.example.com:8443'),
  },
  expectedClaim(iamProvider, 'iss', 'issuer'),
  expectedClaim(iam, 'aud', 'audience'),
  signedBy(sts, 'RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512'),
  characters(sts, 'sub', 6, 255),
  {
    says: 'at most 20,000 characters',
    source: sts,
    holds: ({ token }) => token.length <= 20_000,
    broken: (minted) => ({ ...minted, token: 'x'.repeat(20_001) }),
  },
  times(sts),
  {
    says: 'session tags: at most 50, keys of 128 characters, values of 256',
    source: sessionTags,
    holds: (minted) => {
      const tags = tagsOf(minted)
      const fits = ([key, value]: [string, unknown]): boolean =>
        key.length <= 128 && typeof value === 'string' && value.length <= 256
      return tags.length > 0 && tags.length <= 50 && tags.every(fits)
    },
    broken: (minted) => withClaims(minted, { [`${tagPrefix}Team`]: ['several', 'values'] }),
  },
  {
    says: 'at most 100 RSA keys and 100 EC keys',
    source: iam,
    holds: ({ keys }) => ['RSA', 'EC'].every((type) => keys.filter(({ kty }) => kty === type).length <= 100),
    broken: (minted) => ({ ...minted, keys: Array.from({ length: 101 }, () => ({ kty: 'RSA' })) }),
  },
]

const googleGuide = 'https://cloud.google.com/iam/docs/workload-identity-federation-with-other-providers'
const googleProvider =
  'https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools.providers'
const googleMembers = new Set(['kty', 'alg', 'use', 'kid', 'n', 'e', 'x', 'y', 'crv'])

const google: readonly DocumentedRule[] = [
  {
    says: 'the issuer begins with https://',
    source: googleProvider,
    holds: ({ claims }) => text(claims['iss']).startsWith('https://'),
    broken: (minted) => withIssuer(minted, 'http://tokens.example.com'),
  },
  signedBy(googleGuide, 'RS256', 'ES256'),
  {
    says: 'the audience is the name of the provider with https: in front',
    source: googleProvider,
    holds: ({ claims }) =>
      /^https:\/\/iam\.googleapis\.com\/projects\/\d+\/locations\/global\/workloadIdentityPools\/[a-z0-9-]+\/providers\/[a-z0-9-]+$/.test(
        text(claims['aud']),
      ),
    broken: (minted) => withClaims(minted, { aud: 'https://iam.googleapis.com/projects/mintmark' }),
  },
  characters(googleProvider, 'aud', 1, 256),
  characters(googleProvider, 'sub', 1, 127),
  times(googleGuide),
  {
    says: 'keys to upload are RSA or EC, with no other member',
    source: googleProvider,
    holds: ({ keys }) =>
      keys.every(
        (key) =>
          /^(?:RSA|EC)$/.test(text(key['kty'])) && Object.keys(key).every((name) => googleMembers.has(name)),
      ),
    broken: (minted) => ({ ...minted, keys: [{ kty: 'OKP', crv: 'Ed25519' }] }),
  },
]

const entra =
  'https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation-considerations'

const azure: readonly DocumentedRule[] = [
  signedBy(entra, 'RS256'),
  {
    says: 'the audience is api://AzureADTokenExchange',
    source: entra,
    holds: ({ claims }) => claims['aud'] === 'api://AzureADTokenExchange',
    broken: (minted) => withClaims(minted, { aud: ['api://AzureADTokenExchange', 'other'] }),
  },
  expectedClaim(entra, 'iss', 'issuer'),
  expectedClaim(entra, 'sub', 'subject'),
  characters(entra, 'iss', 1, 600),
  characters(entra, 'sub', 1, 600),
  {
    says: 'no space around the issuer',
    source: entra,
    holds: ({ claims }) => text(claims['iss']).trim() === claims['iss'],
    broken: (minted) => withIssuer(minted, ' https://tokens.example.com'),
  },
]

const conductorOne = 'https://conductorone.com/docs/product/admin/service-principals/custom-oidc'
const anthropic =
  'https://platform.claude.com/docs/en/api/http/beta/organization/federation/issuers/create.md'
const openRouter = 'https://openrouter.ai/docs/guides/overview/auth/workload-identity-federation'

const api: readonly DocumentedRule[] = [
  {
    says: 'the metadata names the issuer and where its keys are',
    source: conductorOne,
    holds: ({ metadata, claims }) =>
      metadata['issuer'] === claims['iss'] && text(metadata['jwks_uri']).startsWith('https://'),
    broken: (minted) => ({
      ...minted,
      metadata: { ...minted.metadata, issuer: 'https://tokens.example.com/' },
    }),
  },
  times(conductorOne),
  expectedClaim(anthropic, 'iss', 'issuer'),
  {
    says: 'exp at most 49 hours after iat',
    source: anthropic,
    holds: ({ claims: { iat, exp } }) => isNumber(iat) && isNumber(exp) && exp - iat <= 176_400,
    broken: (minted) => withClaims(minted, { exp: Number(minted.claims['iat']) + 176_401 }),
  },
  {
    says: 'a jti of its own',
    source: anthropic,
    holds: ({ claims }) => text(claims['jti']) !== '',
    broken: (minted) => withClaims(minted, { jti: undefined }),
  },
  expectedClaim(openRouter, 'sub', 'subject'),
  expectedClaim(openRouter, 'aud', 'audience'),
]

const jwtSvid = 'https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md'

const spiffe: readonly DocumentedRule[] = [
  {
    says: 'sub is a SPIFFE ID',
    source: jwtSvid,
    holds: ({ claims }) => /^spiffe:\/\/[a-z0-9._-]+(?:\/[A-Za-z0-9._-]+)+$/.test(text(claims['sub'])),
    broken: (minted) => withClaims(minted, { sub: 'spiffe://example.org/client/a:b' }),
  },
  {
    says: 'typ is JWT or JOSE',
    source: jwtSvid,
    holds: ({ header }) => ['JWT', 'JOSE', undefined].includes(header['typ'] as string | undefined),
    broken: (minted) => withHeader(minted, { typ: 'at+jwt' }),
  },
  {
    says: 'nothing in the header but alg, kid and typ',
    source: jwtSvid,
    holds: ({ header }) => Object.keys(header).every((name) => ['alg', 'kid', 'typ'].includes(name)),
    broken: (minted) => withHeader(minted, { jku: 'https://tokens.example.com' }),
  },
  signedBy(jwtSvid, 'RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512'),
  expectedClaim(jwtSvid, 'aud', 'audience'),
  times(jwtSvid),
]

/** By the name of the recipe. `subject` is what the guide tells the other side to expect. */
export const consumers: Readonly<
  Record<string, { readonly subject: string; readonly rules: readonly DocumentedRule[] }>
> = {
  aws: { subject: 'system:client:backup', rules: aws },
  google: { subject: 'reports', rules: google },
  azure: { subject: 'https://tokens.example.com/clients/invoices', rules: azure },
  api: { subject: 'agents/summary', rules: api },
  spiffe: { subject: 'spiffe://example.org/client/shop/checkout', rules: spiffe },
}
