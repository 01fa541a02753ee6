/**
 * Every command once as a process: it ends by itself, with its exit code, its result on standard output, and remarks on
 * standard error. Other tests run commands in their own process, which costs a tenth of that.
 */
import { writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { allCommands } from '../../src/cli/command-list.ts'
import { makeKey } from '../support/assertion.ts'
import { test } from '../support/fixtures.ts'
import { commandProcess, environmentOf, type Outcome, root, sharedKey } from '../support/process.ts'

const stock = 'urn:example:stock'
const ci = 'https://ci.example'
const workload = `workload:${'a'.repeat(43)}`

/** In an order in which each finds what it needs. `$NAME` is what the test knows or an earlier command printed. */
const calls: readonly (readonly [call: string, prints: RegExp])[] = [
  ['migrate', /^PostgreSQL .* is up to date\.\n$/],
  [`seed ${root}prisma/clients.example.yaml`, /\n5 created, 0 changed, 0 unchanged\.\n/],
  ['resources list', /^AUDIENCE .*\n(?:.*\n)*https:\/\/orders\.example\.com /],
  [`resources create ${stock} --scope read`, /^urn:example:stock is created\.\n$/],
  [`resources update ${stock} --name Stock`, /^urn:example:stock is changed: name: /],
  ['clients create shop --secret-out $FILE', /^shop is created\. /],
  ['clients list', /^CLIENT .*\n(?:.*\n)*shop /],
  ['clients show shop', /^client_id +shop$/m],
  ['clients update shop --name Shop', /^shop is changed: name: shop → Shop\.\n$/],
  ['clients disable shop', /^shop is disabled\.\n$/],
  ['clients enable shop', /^shop is enabled\.\n$/],
  [`clients access grant shop ${stock} read`, /^shop has access to urn:example:stock with read\.\n$/],
  ['token shop --secret-file $FILE --url $URL --raw', /^ey[\w-]+\.[\w-]+\.[\w-]+\n$/],
  ['clients secrets add shop --json', /"secret_id": "(?<SECRET>[^"]+)"/],
  ['clients secrets revoke shop $SECRET', / is revoked\.\n$/],
  ['clients secrets rotate shop --json', /"status": "rotated"/],
  ['clients secrets list shop', / revoked/],
  ['clients keys add shop $KEY --kid 2027-01', /^shop has 1 new key, valid until revoked:\n/],
  ['clients keys revoke shop 2027-01', / is revoked\.\n$/],
  ['clients keys list shop', / 2027-01 .* revoked/],
  [`clients access remove shop ${stock}`, /^shop has no access to urn:example:stock\.\n$/],
  [
    `trust add deploy --issuer ${ci} --jwks $KEY --equals sub=job:1 --access ${stock}=read`,
    / The rule deploy is created\.\n$/,
  ],
  ['trust list', /^ISSUER .*\nhttps:\/\/ci\.example +active +1 uploaded +deploy /],
  [`trust disable ${ci}`, / is disabled\.\n$/],
  [`trust enable ${ci}`, / is enabled\.\n$/],
  [`trust block ${workload}`, / is blocked/],
  [`trust unblock ${workload}`, / is not blocked\.\n$/],
  ['trust workloads', /^No workload is listed\. One that got its first token is listed within /],
  ['trust remove deploy', /^deploy is removed\. /],
  [`resources delete ${stock} --yes`, /^urn:example:stock is deleted\.\n$/],
  ['clients delete shop --yes', /^shop is deleted: 2 secrets revoked, /],
  ['keys rotate --json', /"kid": "(?<KID>[^"]+)"/],
  ['keys list', / published/],
  ['keys export --jwks', /^\{"keys":\[\{.*\}\]\}\n$/],
  ['keys revoke $KID --yes', / is revoked\. /],
  ['keys rewrap', /^Every signing key is sealed with key-encryption key \w+ already\.\n$/],
  ['ca init --directory $CA', /^Mintmark development CA .* is created, /],
  ['ca issue shop --dns shop.example --directory $CA', /^shop is issued: /],
  ['ca renew shop --directory $CA', /^shop is renewed, /],
  ['ca revoke shop --directory $CA', /^shop is revoked: 2 certificates\.\n/],
  ['ca show --directory $CA', /^NAME .*\nshop +revoked /],
  ['proxy check $URL', /^FORGED .*\n(?:.*\n)*Client-Cert +400 +no certificate +failed$/m],
  ['audit list --outcome issued', /^TIME .*\n.* shop /],
  ['audit list --type client --json', /^\[\n[\s\S]*\n\]\n$/],
  ['audit compare $LEDGER', /^$/],
  ['audit export', /^\{.*\}\n/],
  ['audit verify $LEDGER', /^Verified: \d+ records in \d+ chains\./],
]

/** Calls that fail, and their exit codes. */
const failing: readonly (readonly [call: string, code: number])[] = [
  ['clients create shop', 1],
  ['keys abandon --yes', 1],
  ['registry seal', 1],
  ['trust test --assertion $KEY', 1],
  ['trust document https://agents.example/one', 1],
  ['clients show', 2],
  ['clients show nobody', 3],
]

// No duration decides here, so once is enough.
test('every command', { retry: 0 }, async ({ database, files, startService }) => {
  const { url } = await startService({ key: Buffer.from(sharedKey, 'base64') })
  const known: Record<string, string> = {
    URL: url,
    FILE: files.path('shop.secret'),
    LEDGER: files.path('ledger.json'),
    KEY: files.path('key.json'),
    CA: files.path('ca'),
  }
  writeFileSync(files.path('key.json'), JSON.stringify(makeKey().publicJwk))
  const run = (call: string): Promise<Outcome> => {
    const words = call.split(' ').map((word) => known[word.slice(1)] ?? word)
    return commandProcess(environmentOf(database.url), ...words)
  }
  const names = (await allCommands()).map(({ path }) => path.join(' '))
  const called = [...calls, ...failing].map(([call]) =>
    names.find((name) => `${call} `.startsWith(`${name} `)),
  )
  // Those two serve until a signal ends them. Other tests start them.
  expect(new Set(['start', 'serve', ...called])).toEqual(new Set(names))
  for (const [call, prints] of calls) {
    const { code, stdout, stderr } = await run(call)
    expect({ call, code }, stderr).toEqual({ call, code: 0 })
    expect(stdout).toMatch(prints)
    expect(stderr).not.toContain('mintmark: ')
    Object.assign(known, prints.exec(stdout)?.groups)
    // A later call gets what this one printed as a file.
    if (/^audit (list|export)/.test(call)) writeFileSync(files.path('ledger.json'), stdout)
  }
  for (const [call, code] of failing) {
    const outcome = await run(call)
    expect(outcome).toMatchObject({ code, stdout: '', stderr: expect.stringMatching(/^mintmark: .*\n$/) })
  }
})
