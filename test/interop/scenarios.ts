import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { InteropService } from './service.ts'
import type { Ready } from './toolchains.ts'

/**
 * The scenarios for clients of @modelcontextprotocol/conformance that are about our grants, turned round: one and the same
 * client passes the scenario, and gets a token of Mintmark for a server that verifies it (examples/mcp-server).
 */
interface Scenario {
  readonly name: string
  /** Who the client is at Mintmark, as the scenario says it to a client. */
  readonly context: (service: InteropService) => Readonly<Record<string, string | undefined>>
}

const turned: readonly Scenario[] = [
  {
    name: 'auth/client-credentials-jwt',
    context: ({ keys }) => ({
      client_id: 'signing-agent',
      private_key_pem: readFileSync(keys['PRIVATE_KEY_FILE'] ?? '', 'utf8'),
      signing_algorithm: 'ES256',
    }),
  },
  {
    name: 'auth/client-credentials-basic',
    context: ({ secrets }) => ({ client_id: 'agent', client_secret: secrets['agent'] }),
  },
]

/** Why the others are left out. The first that fits counts. */
const reasons: readonly (readonly [RegExp, string])[] = [
  [/^auth\/cross-app-access/, 'is about a user, whose assertions (ID-JAG) are refused'],
  [/^auth\/wif-/, 'has no client in the SDK yet; the JWT-bearer grant is in test/service/mcp.test.ts'],
  [/^auth\//, 'is about the authorization code grant, which needs a person'],
]

/** What no version that is pinned has, although it was written. */
const awaited = ['auth/wif-jwt-bearer']

/** @returns a line for each, and whether all that were run passed. */
export async function runScenarios(service: InteropService, { directory }: Ready): Promise<boolean> {
  const conformance = join(directory, 'node_modules/@modelcontextprotocol/conformance/dist/index.js')
  const client = join(directory, 'mcp-scenario.mjs')
  const say = (line: string) => process.stdout.write(`${line}\n`)
  const listed = execFileSync(process.execPath, [conformance, 'list'], { encoding: 'utf8', cwd: directory })
  const names = [...new Set([...listed.matchAll(/^\s+- (auth\/[\w./-]+)/gm)].map(([, name = '']) => name))]
  const stop = await startServer(service)
  let isFine = true
  try {
    for (const { name, context } of turned) {
      const words = ['client', '--scenario', name, '--command', `${process.execPath} ${client}`]
      const passes = await succeeds([conformance, ...words], directory)
      const environment = {
        MCP_CONFORMANCE_SCENARIO: name,
        MCP_CONFORMANCE_CONTEXT: JSON.stringify(context(service)),
      }
      const trust = { NODE_EXTRA_CA_CERTS: service.certificateFile }
      const isServed = await succeeds([client, service.mcpUrl], directory, { ...environment, ...trust })
      say(
        `${passes && isServed ? '✓' : '✗'} ${name}: ${passes ? 'passed' : 'failed'}; against Mintmark ${isServed ? 'passed' : 'failed'}`,
      )
      isFine &&= passes && isServed
    }
  } finally {
    await stop()
  }
  const isTurned = (name: string) => turned.some((scenario) => scenario.name === name)
  for (const name of names.filter((each) => !isTurned(each))) {
    say(`– ${name} ${reasons.find(([form]) => form.test(name))?.[1]}`)
  }
  for (const name of awaited)
    if (!names.includes(name)) say(`– ${name} is not in this version of the package`)
  return isFine && turned.every(({ name }) => names.includes(name))
}

async function startServer({ issuer, mcpUrl }: InteropService): Promise<() => Promise<void>> {
  const root = join(import.meta.dirname, '../..')
  execFileSync('npm', ['run', '--silent', 'build', '--prefix', join(root, 'packages/verifier')], {
    stdio: 'inherit',
  })
  // Loaded here: it uses the package as it was built a moment ago.
  const { buildMcpServer } = await import('../../examples/mcp-server/mcp-server.js')
  const app = buildMcpServer({ issuer, url: mcpUrl })
  await app.listen({ host: '127.0.0.1', port: Number(new URL(mcpUrl).port) })
  return async () => {
    await app.close()
  }
}

async function succeeds(
  words: readonly string[],
  directory: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<boolean> {
  const child = spawn(process.execPath, words, {
    cwd: directory,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0) process.stderr.write(`\n${words.at(-1)}:\n${output.split('\n').slice(-15).join('\n')}\n\n`)
  return code === 0
}
