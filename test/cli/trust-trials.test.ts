/** An assertion is shown to the service before a workload is deployed: what it would get, and why not. */
import { writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { limits } from '../../src/limits.ts'
import { makeKey } from '../support/assertion.ts'
import { command, succeeding } from '../support/command.ts'
import { test as base } from '../support/fixtures.ts'
import { fetchingLocally, startKeyServer } from '../support/key-server.ts'
import { github as platform, publishedKeys, tokenOf } from '../support/platforms.ts'

const github = platform.issuer
const test = base.extend('ran', ({ run }) => succeeding(run))
const guarded = { claims: { repository_id: '77' } }

test('an assertion is tried: it shows which rule fits, why another does not, and what the token would have; nothing is used up', async ({
  database,
  files,
  ran,
  startService,
}) => {
  const server = await startKeyServer({ '/keys': publishedKeys(platform) })
  const environment = { ...fetchingLocally, MINTMARK_ISSUER: 'https://tokens.example.com' }
  const running = await startService({ environment })
  try {
    const orders = 'https://orders.example.com'
    await ran('resources', 'create', orders, '--scope', 'orders:read', '--scope', 'orders:write')
    await ran(
      'clients',
      'create',
      'billing',
      '--auth-method',
      'federated_jwt',
      '--access',
      `${orders}=orders:read`,
    )
    const add = ['trust', 'add', '--issuer', github, '--client', 'billing']
    await ran(
      ...add,
      'deploy',
      '--jwks-uri',
      `${server.url}/keys`,
      '--equals',
      'repository_id=74',
      '--token-lifetime',
      '60',
    )
    await ran(...add, 'other', '--equals', 'repository_id=75', '--equals', 'environment=prod')
    const assertion = tokenOf(platform, 'https://tokens.example.com')
    writeFileSync(files.path('token.jwt'), `${assertion}\n`)
    const tried = (...more: string[]) =>
      command(
        { DATABASE_URL: database.url, ...environment },
        'trust',
        'test',
        '--assertion',
        files.path('token.jwt'),
        ...more,
      )
    const fits = await tried()
    expect(fits).toMatchObject({ code: 0 })
    expect(fits.stdout).toMatch(/^deploy +yes/m)
    expect(fits.stdout).toMatch(/^other +no +repository_id = "75": it is "74"$/m)
    expect(fits.stdout).toContain(
      `By the rule deploy, billing would get a token for ${orders} with orders:read, for 60 s. The assertion counts once. Nothing was issued.`,
    )
    expect(JSON.parse((await tried('--json')).stdout)).toMatchObject({
      would_issue: {
        rule: 'deploy',
        client_id: 'billing',
        audience: orders,
        scope: 'orders:read',
        expires_in: 60,
        sub: 'billing',
        claims: {},
      },
      reason: null,
    })
    // What a certificate and a proof would be is not tried, and told.
    await ran(
      ...add,
      'guarded',
      '--equals',
      'repository_id=77',
      '--require-certificate',
      'tls_client_auth_san_dns=ci.example.com',
      '--require-dpop',
      'any_key',
    )
    expect(await ran('trust', 'list')).toMatch(
      /guarded .*a certificate with tls_client_auth_san_dns=ci\.example\.com, a DPoP proof +-$/m,
    )
    writeFileSync(files.path('token.jwt'), tokenOf(platform, environment.MINTMARK_ISSUER, guarded))
    expect(await tried()).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(
        'The caller must also bring a certificate with tls_client_auth_san_dns=ci.example.com, and a DPoP proof. That is not tried here.',
      ),
    })
    expect(JSON.parse((await tried('--json')).stdout).would_issue.must_bring).toHaveLength(2)
    writeFileSync(files.path('token.jwt'), assertion)
    const denied = await tried('--scope', 'orders:write')
    expect([denied.code, denied.stdout]).toEqual([
      1,
      expect.stringContaining('No token would be issued: scope_not_granted.'),
    ])
    // What was tried is as good as before, and no record speaks of it.
    expect(await database.query(`SELECT 1 FROM audit_record WHERE type = 'token'`)).toEqual([])
    const body = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }
    const response = await fetch(`${running.url}/token`, { method: 'POST', body: new URLSearchParams(body) })
    expect(response.status).toBe(200)
    // It is used up now, and that is said before somebody looks for another mistake.
    const again = await tried()
    expect([again.code, again.stdout]).toEqual([1, expect.stringContaining('issued: assertion_replayed.')])

    // A number is not the text that looks like it.
    const numbered = { claims: { repository_id: 74 } }
    writeFileSync(files.path('token.jwt'), tokenOf(platform, environment.MINTMARK_ISSUER, numbered))
    expect((await tried()).stdout).toMatch(
      /^deploy +no +repository_id = "74": it is 74, a number, and the rule asks for text$/m,
    )

    // The same words as the service has for those that are refused.
    for (const [changes, reason] of [
      [{ key: makeKey('RS256', platform.key.kid) }, 'assertion_signature_wrong'],
      [{ claims: { repository_id: '76' } }, 'assertion_no_rule_fits'],
      [{ claims: { iss: 'https://evil.example.com' } }, 'assertion_issuer_untrusted'],
      [{ claims: { aud: 'https://other.example.com' } }, 'assertion_audience_wrong'],
    ] as const) {
      writeFileSync(files.path('token.jwt'), tokenOf(platform, 'https://tokens.example.com', changes))
      const outcome = await tried()
      expect([outcome.code, outcome.stdout]).toEqual([1, expect.stringContaining(`issued: ${reason}.`)])
      expect(outcome.stdout + outcome.stderr).not.toContain('eyJ')
    }
    // An issuer that does not answer in the time of a request.
    server.answer(() => {})
    const { keysWaitMilliseconds } = limits
    Object.assign(limits, { keysWaitMilliseconds: 20 })
    const late = await tried().finally(() => Object.assign(limits, { keysWaitMilliseconds }))
    expect(late.stdout).toContain('issued: issuer_keys_unavailable.')
    expect(late.stderr).toContain('The keys of the issuer did not come within')
    await server.close()
    const away = await tried()
    expect(away.stdout).toContain('issued: issuer_keys_unavailable.')
    expect(away.stderr).toContain('The keys of the issuer cannot be fetched')
    writeFileSync(files.path('token.jwt'), 'x')
    expect((await tried()).stderr).toContain(
      'issued: assertion_malformed. The file must hold one JWT and nothing else. docs/reference/errors.md',
    )
    const access = tokenOf(platform, environment.MINTMARK_ISSUER, { header: { typ: 'at+jwt' } })
    writeFileSync(files.path('token.jwt'), access)
    expect((await tried()).stderr).toContain(
      'issued: assertion_type_wrong. The typ in its header says that it is another kind of token. docs/',
    )
  } finally {
    await server.close()
  }
})
