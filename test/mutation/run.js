// Changes the code in small ways, one at a time, and sees whether a test notices.
//
//   npm run mutate                            what pure tests and a database judge: some hours
//   npm run mutate -- src/token/decide.ts     some of it
//   npm run mutate -- --changed [COMMIT]      the lines that differ from where this branch began, or from COMMIT
//
// A mutation that no test notices is either named in survivors.js, with the reason why none can, or wants a test.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { findNode } from '../../bin/prepare.js'
import { supervise } from '../../bin/supervise.js'
import { survivors } from './survivors.js'

const root = join(import.meta.dirname, '../..')

/** What pure tests judge. */
const pure = [
  'src/token/{admission,claims,decide,form,issue,request}.ts',
  'src/ledger/{chain,cursor,export,hand-changes,query,record,record-fields,refusals,token-id,verify}.ts',
  'src/keys/{algorithms,derived-keys,exported,key-encryption-key,keyring,manifest,schedule,seal,sealed-text,signing-algorithm,state}.ts',
  'src/registry/{blocks-statement,client,client-metadata-prefix,fixed-claims,grammar,issuer,issuer-statement}.ts',
  'src/registry/{seal-guard,seal-head,seal-problems,seal-review,seal-tree,sealed-registry}.ts',
  'src/registry/{statement,statement-text,subject}.ts',
  // How a caller proves itself: with a secret,
  'src/authentication/{authenticate,authorization,client-secret,failure-limit,fapi,secret,secret-expiry,secret-hash}.ts',
  'src/authentication/{secret-tag,secret-tags,verification}.ts',
  // with an assertion, its own or an issuer's,
  'src/authentication/{assertion-signature,client-assertion,client-key,closest-rule,compact-jws,own-assertion}.ts',
  'src/authentication/{federated-assertion,federated-callers,federated-jwt,issuer-key,issuer-keys,private-key-jwt}.ts',
  'src/authentication/{remote-documents,remote-keys,signed-jwt,trust-rules}.ts',
  // with a key that the address it is named by publishes,
  'src/authentication/{client-metadata,metadata-client}.ts',
  // with a certificate; and the proof that binds a token to a key.
  'src/authentication/{certificate,certificate-chain,certificate-field,certificate-judge,certificate-proxy}.ts',
  'src/authentication/{certificate-reader,certificate-signature,distinguished-name,name-constraints}.ts',
  'src/authentication/{revocation-list,tls-client-auth}.ts',
  'src/authentication/{dpop,dpop-nonces,dpop-proof}.ts',
]

/** What takes a database as well: half a second or more for each mutation. */
const database = [
  'src/ledger/{chain-end,chain-store,change-records,change-store,commit,follow,ledger,record-store}.ts',
  'src/ledger/{spent-identifier-store,spent-identifiers}.ts',
  'src/registry/{client-loads,look,look-up,memory,registry,store,trust-memory,trust-store}.ts',
  'src/keys/{store,verifier-store}.ts',
]

/** What only tests of the whole service reach: seconds for each mutation, so these are tried if they are named. */
const service = [
  'src/ledger/hand-change-store.ts',
  'src/registry/{certificate-store,key-store,seal-store}.ts',
  'src/keys/{abandonment,believed,key-change,manifest-store,revocation,rewrap,rotation,upkeep,vouching}.ts',
]

/** Of the mutations of a file that are not named in survivors.js, so many must be noticed. */
const noticedShareMin = 0.9

/** Lines of a change that are still a short look: about as many mutations, in a few minutes. */
const changedLinesMax = 150

/** Minutes until a run over changed lines is given up. */
const changedMinutesMax = 10

/** @param {string[]} patterns */
const expand = (patterns) =>
  git(['ls-files', 'src']).filter((path) => patterns.some((pattern) => matches(path, pattern)))

/** @param {string} path @param {string} pattern one pair of braces at most. */
function matches(path, pattern) {
  const [before = '', names, after = ''] = pattern.split(/[{}]/)
  return (names ?? '').split(',').some((name) => path === before + name + after)
}

/** @param {string[]} args */
function git(args) {
  const text = execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  return text.split('\n').filter((line) => line !== '')
}

/** The lines that differ from a commit, as Stryker names them. @param {string} since @param {string[]} files */
function changedLines(since, files) {
  // To git, no files are all of them.
  if (files.length === 0) return { ranges: [], lines: 0 }
  const ranges = []
  let lines = 0
  let path = ''
  for (const line of git(['diff', '--unified=0', '--no-color', since, '--', ...files])) {
    if (line.startsWith('+++ b/')) path = line.slice(6)
    const [, start, count = '1'] = /^@@ -\S+ \+(\d+)(?:,(\d+))? @@/.exec(line) ?? []
    if (start === undefined || count === '0') continue
    ranges.push(`${path}:${start}-${Number(start) + Number(count) - 1}`)
    lines += Number(count)
  }
  return { ranges, lines }
}

/** Where this branch began; on the main branch itself, the commit before. Undefined where there is no history. */
function branchPoint() {
  for (const main of ['origin/main', 'main']) {
    try {
      const [base = ''] = git(['merge-base', 'HEAD', main])
      if (base !== git(['rev-parse', 'HEAD'])[0]) return base
      break
    } catch {
      // There is no such branch here.
    }
  }
  return isCommit('HEAD~1') ? 'HEAD~1' : undefined
}

/** @param {string} name */
function isCommit(name) {
  try {
    return git(['rev-parse', '--verify', '--quiet', `${name}^{commit}`]).length === 1
  } catch {
    return false
  }
}

/** @param {string[]} mutate @param {'pure' | 'all' | 'service'} tests @param {number} minutesMax 0 for as long as it takes. */
async function stryker(mutate, tests, minutesMax) {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-mutation-'))
  const report = join(directory, 'report.json')
  const settings = join(directory, 'stryker.json')
  writeFileSync(settings, JSON.stringify(strykerSettings(mutate, directory, report)))
  const program = join(root, 'node_modules/@stryker-mutator/core/bin/stryker.js')
  const { exitCode } = await supervise(findNode(), [program, 'run', settings], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, MUTATION_TESTS: tests },
    timeout: minutesMax * 60_000,
  })
  const files = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')).files : undefined
  rmSync(directory, { recursive: true, force: true })
  if (files === undefined)
    throw new Error(`Stryker ended with ${exitCode} and without a report; it said why above.`)
  return files
}

/** @param {string[]} mutate @param {string} directory @param {string} report */
function strykerSettings(mutate, directory, report) {
  return {
    mutate,
    testRunner: 'vitest',
    // Only tests that import what is mutated.
    vitest: { configFile: 'test/mutation/vitest.config.ts', related: true },
    plugins: ['@stryker-mutator/vitest-runner'],
    coverageAnalysis: 'perTest',
    concurrency: 1,
    // An endless loop is found out after this many milliseconds more than the tests took before.
    timeoutMS: 10_000,
    timeoutFactor: 1.25,
    reporters: ['progress-append-only', 'json'],
    jsonReporter: { fileName: report },
    tempDirName: join(directory, 'sandbox'),
    cleanTempDir: 'always',
    ignorePatterns: ['bench', 'docs', '.ci', 'data'],
    // Stryker would rewrite the paths in tsconfig.json, with what TypeScript 7 no longer has. There are none.
    tsconfigFile: 'none.json',
    warnings: { slow: false },
    allowEmpty: true,
  }
}

/**
 * @typedef {{ line: number, column: number }} Place
 * @typedef {{ status: string, mutatorName: string, replacement?: string, location: { start: Place, end: Place } }} Mutant
 */

/** The code that a mutation takes the place of. @param {string[]} lines @param {Mutant['location']} location */
function mutatedCode(lines, { start, end }) {
  const text = lines.slice(start.line - 1, end.line).join('\n')
  return text.slice(start.column - 1, text.length - ((lines[end.line - 1] ?? '').length - end.column + 1))
}

/** What is said of one file. @param {string} path @param {{ source: string, mutants: Mutant[] }} file */
function judge(path, { source, mutants }) {
  const lines = source.split('\n')
  const named = new Set()
  const left = []
  for (const { status, mutatorName, replacement = '', location } of mutants) {
    if (status !== 'Survived' && status !== 'NoCoverage') continue
    const line = (lines[location.start.line - 1] ?? '').trim()
    const code = mutatedCode(lines, location)
    const name = survivors.find(
      (one) =>
        one.file === path && one.line === line && one.code === code && one.mutations.includes(replacement),
    )
    if (name === undefined)
      left.push({ place: `${path}:${location.start.line}`, code, replacement, mutatorName, status })
    else named.add(`${line} ${code} ${replacement}`)
  }
  const count = (...statuses) => mutants.filter(({ status }) => statuses.includes(status)).length
  // Tests that cannot even be loaded have noticed as well.
  const noticed = count('Killed', 'Timeout', 'RuntimeError')
  // On a machine that is busy with something else, these may be mistakes.
  const timeouts = count('Timeout')
  const share = noticed + left.length === 0 ? 1 : noticed / (noticed + left.length)
  /** What is named, and was noticed all the same or is not there any more. */
  const wrong = survivors
    .filter((one) => one.file === path)
    .flatMap(({ line, code, mutations }) => mutations.map((replacement) => `${line} ${code} ${replacement}`))
    .filter((one) => !named.has(one))
  return { path, mutants: mutants.length, noticed, timeouts, named: named.size, left, wrong, share }
}

/** @param {ReturnType<typeof judge>[]} files */
function print(files) {
  for (const { place, code, replacement, mutatorName, status } of files.flatMap(({ left }) => left)) {
    const uncovered = status === 'NoCoverage' ? ', and no test comes here' : ''
    const indented = (/** @type {string} */ text) => text.replaceAll('\n', '\n    ')
    console.log(
      `\n${place} (${mutatorName}${uncovered})\n  - ${indented(code)}\n  + ${indented(replacement)}`,
    )
  }
  console.log(`\n${'file'.padEnd(40)}mutations  noticed  by time-out  named  left    share`)
  for (const { path, mutants, noticed, timeouts, named, left, share } of files) {
    const numbers = [mutants, noticed, timeouts, named, left.length].map((number, index) =>
      String(number).padStart([9, 9, 13, 7, 6][index] ?? 0),
    )
    console.log(`${path.padEnd(40)}${numbers.join('')}${(share * 100).toFixed(1).padStart(7)} %`)
  }
}

/** @param {string[]} given */
async function run(given) {
  const isChanged = given[0] === '--changed'
  const only = isChanged ? [] : given
  const parts = [
    { tests: /** @type {const} */ ('pure'), files: expand(pure) },
    { tests: /** @type {const} */ ('all'), files: expand(database) },
    { tests: /** @type {const} */ ('service'), files: only.length === 0 ? [] : expand(service) },
  ]
  const unknown = only.filter((path) => !parts.some(({ files }) => files.includes(path)))
  if (unknown.length > 0) throw new Error(`Not a file that is mutated: ${unknown.join(', ')}`)
  const since = isChanged ? (given[1] ?? branchPoint()) : ''
  if (since === undefined) return console.log('There is no commit to compare with.')
  const { lines } = isChanged
    ? changedLines(
        since,
        parts.flatMap(({ files }) => files),
      )
    : { lines: 0 }
  if (lines > changedLinesMax) {
    return console.log(`${lines} lines changed, too many for a short look: npm run mutate -- FILE …`)
  }
  const results = []
  for (const { tests, files } of parts) {
    const wanted = only.length === 0 ? files : files.filter((path) => only.includes(path))
    const mutate = isChanged ? changedLines(since, wanted).ranges : wanted
    if (mutate.length === 0) continue
    const reported = await stryker(mutate, tests, isChanged ? changedMinutesMax : 0)
    for (const [path, file] of Object.entries(reported)) results.push(judge(path, file))
  }
  if (results.length === 0) return console.log('Nothing to mutate.')
  print(results)
  if (results.some(({ share }) => share < noticedShareMin)) process.exitCode = 1
  // Of changed lines only, most of what is named was not tried.
  const wrong = isChanged ? [] : results.flatMap(({ path, wrong }) => wrong.map((one) => `${path}: ${one}`))
  if (wrong.length === 0) return
  console.log(`\nNamed in survivors.js, and noticed or gone:\n  ${wrong.join('\n  ')}`)
  process.exitCode = 1
}

await run(process.argv.slice(2)).catch((error) => {
  console.error(`mutate: ${error.message}`)
  process.exitCode = 1
})
