/**
 * Issuers that the tests play: what Kubernetes, SPIRE, GitHub Actions and GitLab really put into the tokens of a workload, with
 * keys of the kinds that they really have. Names and numbers are made up; which claims there are, and of which type, is not.
 */
import { randomUUID } from 'node:crypto'
import { makeKey, signed, type TestKey } from './assertion.ts'

export interface Platform {
  readonly issuer: string
  readonly key: TestKey
  /** The header that the platform writes. */
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: (now: number, audience: string) => Readonly<Record<string, unknown>>
}

/** A projected token of a service account (TokenRequest): the audience is a list, and there is no typ. */
export const kubernetes: Platform = platform(
  'https://kubernetes.default.svc.cluster.local',
  makeKey('RS256', 'gkT3Zs'),
  {
    header: {},
    claims: (now, audience) => ({
      aud: [audience],
      exp: now + 3_600,
      iat: now,
      iss: 'https://kubernetes.default.svc.cluster.local',
      jti: randomUUID(),
      'kubernetes.io': {
        namespace: 'payments',
        node: { name: 'node-3', uid: '0a1b2c3d-0000-4000-8000-000000000003' },
        pod: { name: 'api-5c9f7d6b8-x2x4z', uid: '0a1b2c3d-0000-4000-8000-000000000001' },
        serviceaccount: { name: 'api', uid: '0a1b2c3d-0000-4000-8000-000000000002' },
      },
      nbf: now,
      sub: 'system:serviceaccount:payments:api',
    }),
  },
)

/** A JWT-SVID: no issuer and no jti, and an audience that is a list. */
export const spire: Platform = platform(
  'spiffe://example.org',
  makeKey('ES256', 'C6vs25welZOx6WksNYfbMfiw9l96pMnD'),
  {
    header: { typ: 'JWT' },
    claims: (now, audience) => ({
      aud: [audience],
      exp: now + 300,
      iat: now,
      sub: 'spiffe://example.org/ns/payments/sa/api',
    }),
  },
)

/** The token of a job of GitHub Actions: numbers are texts. */
export const github: Platform = platform(
  'https://token.actions.githubusercontent.com',
  makeKey('RS256', '78167F727DEC5D801DD1C8784C704A1C880EC0E1'),
  {
    header: { typ: 'JWT', x5t: 'eBZ_cn3sXYAd0ch4THBKHIgOwOE' },
    claims: (now, audience) => ({
      actor: 'octocat',
      actor_id: '12',
      aud: audience,
      base_ref: '',
      environment: 'prod',
      event_name: 'push',
      exp: now + 300,
      head_ref: '',
      iat: now,
      iss: 'https://token.actions.githubusercontent.com',
      job_workflow_ref: 'acme/shop/.github/workflows/deploy.yml@refs/heads/main',
      job_workflow_sha: '0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f',
      jti: randomUUID(),
      nbf: now - 300,
      ref: 'refs/heads/main',
      ref_protected: 'true',
      ref_type: 'branch',
      repository: 'acme/shop',
      repository_id: '74',
      repository_owner: 'acme',
      repository_owner_id: '65',
      repository_visibility: 'private',
      run_attempt: '1',
      run_id: '1682098321',
      run_number: '10',
      runner_environment: 'github-hosted',
      sha: '0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f',
      sub: 'repo:acme/shop:environment:prod',
      workflow: 'deploy',
      workflow_ref: 'acme/shop/.github/workflows/deploy.yml@refs/heads/main',
    }),
  },
)

/** The ID token of a job of GitLab CI. */
export const gitlab: Platform = platform(
  'https://gitlab.com',
  makeKey('RS256', '4i3sFE7sxqNPOT7FdvcGA1ZVGGI_r-tsDXnEuYT4ZqE'),
  {
    header: { typ: 'JWT' },
    claims: (now, audience) => ({
      aud: audience,
      ci_config_ref_uri: 'gitlab.com/acme/shop//.gitlab-ci.yml@refs/heads/main',
      ci_config_sha: '0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f',
      environment: 'production',
      environment_protected: 'true',
      exp: now + 3_600,
      iat: now,
      iss: 'https://gitlab.com',
      job_id: '302',
      jti: randomUUID(),
      namespace_id: '72',
      namespace_path: 'acme',
      nbf: now - 5,
      pipeline_id: '574',
      pipeline_source: 'push',
      project_id: '20',
      project_path: 'acme/shop',
      ref: 'main',
      ref_path: 'refs/heads/main',
      ref_protected: 'true',
      ref_type: 'branch',
      runner_environment: 'gitlab-hosted',
      sha: '0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f',
      sub: 'project_path:acme/shop:ref_type:branch:ref:main',
      user_id: '1',
      user_login: 'octocat',
    }),
  },
)

function platform(issuer: string, key: TestKey, rest: Pick<Platform, 'header' | 'claims'>): Platform {
  return { issuer, key, ...rest }
}

export interface TokenChanges {
  /** Members to add or to replace; undefined takes one out. */
  readonly header?: Readonly<Record<string, unknown>>
  readonly claims?: Readonly<Record<string, unknown>>
  /** Signs instead of the platform's own key. */
  readonly key?: TestKey
}

/** A token of a workload, as its platform makes it, with some changes. */
export function tokenOf(
  { key, header, claims }: Platform,
  audience: string,
  changes: TokenChanges = {},
  now = Math.floor(Date.now() / 1_000),
): string {
  const signer = changes.key ?? key
  return signed(
    signer,
    { alg: signer.algorithm, kid: signer.kid, ...header, ...changes.header },
    { ...claims(now, audience), ...changes.claims },
  )
}

/** The keys of a platform as it publishes them: SPIRE without alg, and for its own use. */
export function publishedKeys(platform: Platform, keys: readonly TestKey[] = [platform.key]) {
  const isSpire = platform.issuer.startsWith('spiffe:')
  return {
    keys: keys.map(({ publicJwk, kid, algorithm }) =>
      isSpire ? { ...publicJwk, kid, use: 'jwt-svid' } : { ...publicJwk, kid, alg: algorithm, use: 'sig' },
    ),
    ...(isSpire ? { spiffe_sequence: 1, spiffe_refresh_hint: 300 } : {}),
  }
}
