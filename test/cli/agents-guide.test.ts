/** The commands of docs/guides/agents.md do what it says, in its order, beside a service and a host of documents. */
import { readFileSync, writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { makeKey } from '../support/assertion.ts'
import { command } from '../support/command.ts'
import { test } from '../support/fixtures.ts'
import { fetchingLocally, startKeyServer } from '../support/key-server.ts'
import { isAtHand } from '../support/openssl.ts'
import { kubernetes, publishedKeys, tokenOf } from '../support/platforms.ts'
import { root, start } from '../support/process.ts'

const guide = readFileSync(`${root}docs/guides/agents.md`, 'utf8')
const blocks = [...guide.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text)
const [, document = ''] = /<!-- a test reads this: document -->\n```json\n([\s\S]*?)```/.exec(guide) ?? []

/** What the commands print, by how they begin. */
const prints: readonly (readonly [begins: string, says: RegExp])[] = [
  ['clients create researcher', /^researcher is created\./],
  ['clients list', /researcher .*research@example\.com/],
  ['trust add partner-agents', /is trusted now\. The rule partner-agents is created\.\n$/],
  ['trust document', /^partner-agents +yes /m],
  ['trust add cluster-agents', /The rule cluster-agents is created\.\n$/],
  ['trust test', /^By the rule cluster-agents, workload:/m],
  ['curl', /"scope":"tools:use"/],
  ['clients disable', /^researcher is disabled\.\n$/],
  ['trust disable', / is disabled\.\n$/],
  ['trust block', / is blocked\.\n$/],
]

test.skipIf(!isAtHand('openssl') || !isAtHand('curl'))(
  'every command of the guide',
  async ({ startService, database, files, track, onTestFinished }) => {
    const host = await startKeyServer()
    onTestFinished(() => host.close())
    const { url } = await startService({ environment: fetchingLocally })
    const said = new Set<string>()
    // What readers have: their own hosts, a document with a key in it, the keys of their cluster and a token of it.
    const here = (text: string): string =>
      text
        .replaceAll('https://agents.example.com', host.url)
        .replaceAll('https://tokens.example.com', url)
        .replace(/\b(researcher\.(?:key|pub)|cluster\.json|token\.jwt)\b/g, (name) => files.path(name))
    const { x = '', y = '' } = makeKey().publicJwk
    host.answer({
      '/researcher.json': JSON.parse(
        here(document).replace('"x": "…", "y": "…"', `"x": "${x}", "y": "${y}"`),
      ),
    })
    writeFileSync(files.path('cluster.json'), JSON.stringify(publishedKeys(kubernetes)))
    writeFileSync(
      files.path('token.jwt'),
      tokenOf(kubernetes, url, { claims: { sub: 'system:serviceaccount:agents:researcher' } }),
    )
    const environment = { DATABASE_URL: database.url, MINTMARK_ISSUER: url, ...fetchingLocally }
    for (const line of blocks.flatMap((text) => text.replaceAll('\\\n', ' ').trim().split('\n'))) {
      const words = here(line).split(/\s+/)
      const outcome =
        words[0] === 'bin/mintmark'
          ? await command(environment, ...words.slice(1))
          : await track(start('/bin/sh', ['-ec', here(line)], { environment: {} })).outcome
      expect({ line, code: outcome.code }, outcome.stderr).toEqual({ line, code: 0 })
      for (const [begins, says] of prints) {
        if (!line.replace('bin/mintmark ', '').startsWith(begins)) continue
        expect(outcome.stdout).toMatch(says)
        said.add(begins)
      }
    }
    expect([...said].sort()).toEqual(prints.map(([begins]) => begins).sort())
  },
)
