/** The commands of docs/guides/fapi.md set up what they say, and the callers of the guide get through to the example. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import https from 'node:https'
import { expect } from 'vitest'
import { buildResource } from '../../examples/fapi-resource/resource.js'
import { parseRegistryFile } from '../../src/administration/registry-file.ts'
import { makeKey } from '../support/assertion.ts'
import { command, succeeding } from '../support/command.ts'
import { test } from '../support/fixtures.ts'
import { isAtHand } from '../support/openssl.ts'
import { freePort } from '../support/ports.ts'
import { root, start } from '../support/process.ts'

const guide = readFileSync(`${root}docs/guides/fapi.md`, 'utf8')
const variants = [
  'private_key_jwt, dpop',
  'private_key_jwt, mtls',
  'tls_client_auth, mtls',
  'tls_client_auth, dpop',
]

/** The block behind a remark, and those of the same section that follow it. */
function blocks(remark: string): readonly string[] {
  const [, rest = ''] = guide.split(`<!-- ${remark} -->\n`)
  const [section = ''] = rest.split(/^#+ /m)
  return [...section.matchAll(/```\w+\n([\s\S]*?)```/g)].map(([, text = '']) => text)
}

test('the seed file is one', () => {
  const { x = '', y = '' } = makeKey('ES256').publicJwk
  const [text = ''] = blocks('a test reads this: seed')
  const { clients } = parseRegistryFile(text.replace('x: …, y: …', `x: "${x}", y: "${y}"`), 'fapi.md')
  expect(clients).toMatchObject([{ clientId: 'bank', fapi: true, dpopBoundTokens: true }])
})

test.skipIf(!isAtHand('openssl'))(
  'all four variants (skipped where openssl is not installed)',
  async ({ database, files, startService, onTestFinished, track }) => {
    const environment = { DATABASE_URL: database.url, MINTMARK_DATA_DIR: files.path('data') }
    const mintmark = succeeding((...words) => command(environment, ...words))
    const [url, origin] = [await freePort(), await freePort()].map((port) => `https://localhost:${port}`)
    /** Files are in a directory of this test, and ports are others. */
    const here = (text: string): string =>
      text
        .replaceAll(/(?<=[\s'])(?=data\/|bank-\w\.(?:key|public))/g, `${files.path('')}/`)
        .replaceAll('https://localhost:8080', url ?? '')
        .replaceAll('https://localhost:8443', origin ?? '')
    for (const name of ['prepare', ...variants]) {
      const [lines = ''] = blocks(`a test runs this: ${name}`)
      for (const line of here(lines)
        .replaceAll(/\s*\\\n\s*/g, ' ')
        .trim()
        .split('\n')) {
        const [program = '', ...words] = line.replace(/\s+#.*/, '').split(' ')
        if (program === 'openssl') expect(spawnSync(program, words).status).toBe(0)
        else await mintmark(...words)
      }
    }
    const read = (name: string): string => readFileSync(files.path(`data/ca/${name}`), 'utf8')
    const [certificate, privateKey, authority] = ['localhost/tls.crt', 'localhost/tls.key', 'ca.crt'].map(
      read,
    )
    await startService({
      environment: {
        PORT: String(new URL(String(url)).port),
        MINTMARK_ISSUER: String(url),
        MINTMARK_SIGNING_ALGORITHMS: 'ES256,PS256',
        MINTMARK_TLS_CERTIFICATE: String(certificate),
        MINTMARK_TLS_PRIVATE_KEY: String(privateKey),
        MINTMARK_TLS_CLIENT_CA: String(authority),
      },
    })
    const resource = buildResource({
      issuer: String(url),
      audience: 'https://accounts.example.com',
      origin: String(origin),
      certificate: String(certificate),
      privateKey: String(privateKey),
      fetch: fetchWith(String(authority)),
    })
    resource.listen(Number(new URL(String(origin)).port), '127.0.0.1')
    await once(resource, 'listening')
    onTestFinished(() => void resource.close())
    const [call = ''] = blocks('a test reads this: call')
    const callers = variants.map((name) => `{\n${blocks(`a test runs this: ${name}`)[1]}${call}}\n`)
    const code = `import { createTokenSource } from '@mintmark/client'\n${here(callers.join(''))}process.exit()\n`
    const caller = start(
      process.execPath,
      ['--conditions=@mintmark/source', '--input-type=module', '--eval', code],
      {
        cwd: root,
      },
    )
    const { stdout, stderr } = await track(caller).outcome
    expect(stderr.replaceAll(/^.*ExperimentalWarning.*\n.*\n/gm, '')).toBe('')
    expect(stdout.match(/^200 \{ caller: 'bank-[a-d]'/gm)).toHaveLength(4)
  },
)

/** `fetch` with an authority of its own. */
function fetchWith(ca: string): typeof fetch {
  return (input) =>
    new Promise((resolve, reject) => {
      https
        .get(String(input), { ca, agent: false }, async (response) => {
          const chunks: Buffer[] = []
          for await (const chunk of response) chunks.push(chunk as Buffer)
          const headers = { 'content-type': String(response.headers['content-type']) }
          resolve(new Response(Buffer.concat(chunks), { status: response.statusCode ?? 0, headers }))
        })
        .on('error', reject)
    })
}
