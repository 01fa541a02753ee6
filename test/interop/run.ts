/**
 * Runs the service and real libraries against each other, and says what came of it:
 *
 *     npm run interop -- [node] [python] [go] [java] [rust] [ruby] [php] [perl] [curl] [callers] [signers] [certified] [bound] [verifiers] [scenarios] [--write]
 *
 * Without a toolchain all are run, and without a kind of program all are. Toolchains that are not at hand are left out. What is needed is installed in INTEROP_DIRECTORY (by default in the
 * system's directory for temporary files) from the registries, in the versions that the manifests here pin. With
 * --write the tables and the code in docs/guides are written again; the rows of toolchains that were not run stay. It is
 * no part of `npm test`.
 */
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { rowsIn, withSnippets, withTable } from './guides.ts'
import {
  bound,
  callers,
  certified,
  type Program,
  signers,
  type Toolchain,
  type Verifier,
  verifiers,
  versionsOf,
} from './programs.ts'
import { runScenarios } from './scenarios.ts'
import { audiences, type InteropService, startInteropService } from './service.ts'
import { prepare, type Ready } from './toolchains.ts'

const millisecondsMax = 90_000
const guides = join(import.meta.dirname, '../../docs/guides')
const given = process.argv.slice(2)
const isWriting = given.includes('--write')
const all: readonly Toolchain[] = ['curl', 'node', 'python', 'go', 'java', 'rust', 'ruby', 'php', 'perl']
const chosen = all.filter((toolchain) => given.includes(toolchain))
const kinds = ['callers', 'signers', 'certified', 'bound', 'verifiers', 'scenarios'] as const
const chosenKinds = kinds.filter((kind) => given.includes(kind))
const isChosen = (kind: (typeof kinds)[number]): boolean =>
  chosenKinds.length === 0 || chosenKinds.includes(kind)
const scratch = process.env['INTEROP_DIRECTORY'] ?? join(tmpdir(), 'mintmark-interop')

interface Outcome {
  readonly ok: boolean
  readonly output: string
}

async function run(ready: Ready, program: Program, environment: NodeJS.ProcessEnv): Promise<Outcome> {
  const [command = '', ...words] = ready.command(program)
  const child = spawn(command, words, {
    env: environment,
    cwd: ready.directory,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [output, errors] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), millisecondsMax)
  const code = await new Promise((resolve) => child.once('close', resolve))
  clearTimeout(timer)
  return { ok: code === 0, output: `${errors}\n${output}`.trim() }
}

const lastLine = ({ output }: Outcome): string => output.split('\n').at(-1) ?? ''

/** What every program knows: the service, who it is, and whom it has to trust. */
function environmentOf(service: InteropService, more: Record<string, string>): NodeJS.ProcessEnv {
  const { issuer, mcpUrl, certificateFile: file } = service
  const trust = {
    NODE_EXTRA_CA_CERTS: file,
    SSL_CERT_FILE: file,
    REQUESTS_CA_BUNDLE: file,
    CURL_CA_BUNDLE: file,
    PERL_LWP_SSL_CA_FILE: file,
  }
  const { PATH, HOME } = process.env
  return { PATH, HOME, ...trust, ISSUER: issuer, MCP_URL: mcpUrl, MTLS_URL: service.mtlsUrl, ...more }
}

async function tryCaller(
  service: InteropService,
  ready: Ready,
  program: Program,
): Promise<readonly string[]> {
  const isMcp = /\/mcp_?\./.test(program.file)
  const clientId = isMcp ? 'agent' : 'billing'
  const audience = isMcp ? service.mcpUrl : audiences.orders
  const as = (secret: string) =>
    run(
      ready,
      program,
      environmentOf(service, { CLIENT_ID: clientId, CLIENT_SECRET: secret, AUDIENCE: audience }),
    )
  const outcome = await as(service.secrets[clientId] ?? '')
  const works = await isRightToken(service, outcome, audience, clientId)
  if (!works) report(program, outcome)
  const wrong = await as(`mm_${'x'.repeat(57)}`)
  const shows = wrong.output.includes('Client authentication failed.')
  return row(program, works, [shows ? 'yes' : 'no'])
}

async function trySigner(
  service: InteropService,
  ready: Ready,
  program: Program,
): Promise<readonly string[]> {
  const isMcp = /\/mcp-/.test(program.file)
  const clientId = isMcp ? 'signing-agent' : 'payroll'
  const audience = isMcp ? service.mcpUrl : audiences.orders
  const as = (keys: Readonly<Record<string, string>>) => {
    const more = program.toolchain === 'curl' ? { ...keys, KEY_ID: 'rsa' } : keys
    return run(ready, program, environmentOf(service, { CLIENT_ID: clientId, AUDIENCE: audience, ...more }))
  }
  const outcome = await as(service.keys)
  const works = await isRightToken(service, outcome, audience, clientId)
  if (!works) report(program, outcome)
  const wrong = await as(service.wrongKeys)
  const shows = wrong.output.includes('Client authentication failed.')
  return row(program, works, [shows ? 'yes' : 'no'])
}

async function tryCertified(
  service: InteropService,
  ready: Ready,
  program: Program,
): Promise<readonly string[]> {
  const more = { CLIENT_ID: 'ledger', AUDIENCE: audiences.orders }
  const as = (files: Readonly<Record<string, string>>) =>
    run(ready, program, environmentOf(service, { ...more, ...files }))
  const outcome = await as(service.certificates)
  const works = await isRightToken(service, outcome, audiences.orders, 'ledger')
  if (!works) report(program, outcome)
  const wrong = await as(service.wrongCertificates)
  const shows = wrong.output.includes('Client authentication failed.')
  return row(program, works, [shows ? 'yes' : 'no'])
}

async function tryBound(service: InteropService, ready: Ready, program: Program): Promise<readonly string[]> {
  const more = { CLIENT_ID: 'shipping', AUDIENCE: audiences.orders }
  const as = (secret: string) =>
    run(ready, program, environmentOf(service, { ...more, CLIENT_SECRET: secret }))
  const outcome = await as(service.secrets['shipping'] ?? '')
  const isBound = /"cnf":\{"jkt":"/.test(
    Buffer.from(lastLine(outcome).split('.')[1] ?? '', 'base64url').toString(),
  )
  const works = isBound && (await isRightToken(service, outcome, audiences.orders, 'shipping'))
  if (!works) report(program, outcome)
  const wrong = await as(`mm_${'x'.repeat(57)}`)
  const shows = wrong.output.includes('Client authentication failed.')
  return row(program, works, [shows ? 'yes' : 'no'])
}

async function isRightToken(service: InteropService, outcome: Outcome, audience: string, subject: string) {
  const token = /"access_token":"([^"]+)"/.exec(outcome.output)?.[1] ?? lastLine(outcome)
  const keys = createRemoteJWKSet(new URL(`${service.issuer}/.well-known/jwks.json`))
  const expected = { issuer: service.issuer, audience, typ: 'at+jwt', subject }
  return await jwtVerify(token, keys, expected).then(
    () => true,
    () => false,
  )
}

async function tryVerifier(
  service: InteropService,
  ready: Ready,
  program: Verifier,
): Promise<readonly string[]> {
  const audience = audiences[program.resource ?? 'orders']
  const withTokenOf = async (target: string) => {
    const token = await requestToken(service, target)
    return run(ready, program, environmentOf(service, { AUDIENCE: audience, TOKEN: token }))
  }
  const outcome = await withTokenOf(audience)
  const works = outcome.ok && lastLine(outcome) === 'everywhere'
  if (!works) report(program, outcome)
  // The same keys under another name: the token says an issuer that the verifier does not expect.
  const elsewhere = { ...service, issuer: service.issuer.replace('localhost', '127.0.0.1') }
  const good = await requestToken(service, audience)
  const strange = await run(ready, program, environmentOf(elsewhere, { AUDIENCE: audience, TOKEN: good }))
  if (strange.ok) report(program, { ok: false, output: 'accepts a token of another issuer' })
  const foreign = await withTokenOf(audience === audiences.orders ? audiences.other : audiences.orders)
  if (foreign.ok) report(program, { ok: false, output: 'accepts a token for another audience' })
  // A token of the other type, for the audience that it names.
  const another = program.resource === 'legacy' ? audiences.orders : audiences.legacy
  const token = await requestToken(service, another)
  const typed =
    program.resource === 'rsa'
      ? undefined
      : await run(ready, program, environmentOf(service, { AUDIENCE: another, TOKEN: token }))
  return row(program, works && !foreign.ok && !strange.ok, [
    typed === undefined ? '–' : typed.ok ? 'no' : 'yes',
  ])
}

async function requestToken(service: InteropService, resource: string): Promise<string> {
  const response = await fetch(`${service.issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`everywhere:${service.secrets['everywhere']}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource }),
  })
  return ((await response.json()) as { access_token: string }).access_token
}

let failures = 0

function report({ name, file }: Program, { output }: Outcome): void {
  failures += 1
  process.stderr.write(`\n${name} (${file}):\n${output.split('\n').slice(-15).join('\n')}\n\n`)
}

function row(program: Program, works: boolean, more: readonly string[]): readonly string[] {
  const version = versionsOf(program)
  const title = `${program.name}${version === '' ? '' : ` ${version}`}`
  process.stdout.write(`${works ? '✓' : '✗'} ${program.toolchain.padEnd(7)}${title}\n`)
  const needs = program.needs ?? '–'
  return [program.toolchain, title, works ? 'yes' : '**no**', needs, ...more]
}

function tableOf(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [titles, titles.map(() => '---'), ...rows]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

const data = mkdtempSync(join(tmpdir(), 'mintmark-interop-service-'))
// The embedded database may run as another user, who has to enter.
chmodSync(data, 0o755)
const service = await startInteropService(data)
const callerRows: (readonly string[])[] = []
const signerRows: (readonly string[])[] = []
const certifiedRows: (readonly string[])[] = []
const boundRows: (readonly string[])[] = []
const verifierRows: (readonly string[])[] = []
try {
  for (const toolchain of chosen.length === 0 ? all : chosen) {
    const ready = prepare(toolchain, scratch, service.certificateFile)
    if (ready === undefined) {
      process.stdout.write(`– ${toolchain} is not at hand\n`)
      continue
    }
    const of = <Kind extends Program>(kind: (typeof kinds)[number], programs: readonly Kind[]) =>
      isChosen(kind) ? programs.filter((each) => each.toolchain === toolchain) : []
    for (const program of of('callers', callers)) {
      callerRows.push(await tryCaller(service, ready, program))
    }
    for (const program of of('signers', signers)) {
      signerRows.push(await trySigner(service, ready, program))
    }
    for (const program of of('certified', certified)) {
      certifiedRows.push(await tryCertified(service, ready, program))
    }
    for (const program of of('bound', bound)) {
      boundRows.push(await tryBound(service, ready, program))
    }
    for (const program of of('verifiers', verifiers)) {
      verifierRows.push(await tryVerifier(service, ready, program))
    }
    if (toolchain === 'node' && isChosen('scenarios') && !(await runScenarios(service, ready))) failures += 1
  }
} finally {
  await service.close()
  rmSync(data, { recursive: true, force: true })
}
const callerTitles = ['', 'library', 'gets a token', 'beyond its first example', 'shows our description']
const verifierTitles = ['', 'library', 'verifies', 'beyond its first example', 'checks `typ`']
for (const [file, name, titles, rows] of [
  ['callers.md', 'callers', callerTitles, callerRows],
  ['assertions.md', 'signers', callerTitles, signerRows],
  ['mtls.md', 'certified', callerTitles, certifiedRows],
  ['dpop.md', 'bound', callerTitles, boundRows],
  ['relying-services.md', 'verifiers', verifierTitles, verifierRows],
] as const) {
  process.stdout.write(`\n${tableOf(titles, rows)}\n`)
  if (!isWriting) continue
  const path = join(guides, file)
  const guide = readFileSync(path, 'utf8')
  const isRun = new Set(rows.map(([toolchain]) => toolchain))
  const every = [...rowsIn(guide, name).filter(([toolchain]) => !isRun.has(toolchain)), ...rows]
  const inOrder = all.flatMap((toolchain) => every.filter(([first]) => first === toolchain))
  writeFileSync(path, withTable(withSnippets(guide), name, tableOf(titles, inOrder)))
}
if (failures > 0) process.exitCode = 1
