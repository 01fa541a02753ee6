import { dirname, join, normalize } from 'node:path'

/**
 * The rules of the house, for every file of `src` and `packages`:
 *
 * > A folder is what the line is about: a token, who asks, what is registered, how that changes, keys, the record.
 * > Edges import nouns. Nouns never import edges, except the database. `lib` imports nothing.
 *
 * > Inside a noun `route.ts` is the only file that knows HTTP, and `*store.ts` are the only files that write SQL. No
 * > noun prints, reads flags or names a command.
 */

export const nouns = [
  'token',
  'authentication',
  'registry',
  'administration',
  'keys',
  'ledger',
  'certificates',
] as const
const edges = ['http', 'database', 'process', 'telemetry', 'cli'] as const

/** What each part may import besides itself, `lib`, and the root's `errors`, `limits`, `refusals` and `release`. */
export const mayImport: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  // The grant, downstream.
  token: ['authentication', 'registry', 'keys', 'ledger'],
  authentication: ['registry', 'keys', 'database'],
  registry: ['keys', 'database'],
  // Administration, downstream.
  administration: ['authentication', 'registry', 'keys', 'ledger', 'database'],
  // Where the two rivers meet.
  keys: ['registry', 'ledger', 'database'],
  ledger: ['database'],
  // Files of a development CA. They have nothing to do with the rest.
  certificates: [],
  // The edges. Only the command line may use all.
  database: ['generated'],
  http: [...nouns, 'telemetry'],
  telemetry: [...nouns],
  process: [...nouns, 'database', 'telemetry', 'config', 'server'],
  cli: [...nouns, 'http', 'database', 'process', 'telemetry', 'config'],
  config: ['config-address', 'config-tls', 'settings', 'keys'],
  'config-address': ['config-tls', 'settings'],
  'config-tls': ['settings'],
  settings: ['keys'],
  app: [...nouns, 'http', 'telemetry', 'config'],
  server: [...nouns, 'app', 'registry-and-keys', 'database', 'http', 'telemetry', 'config'],
  'registry-and-keys': [...nouns, 'database', 'telemetry', 'config'],
  errors: [],
  limits: [],
  refusals: [],
  release: [],
}
/** What a noun's `route.ts` may import as well. */
const routeMayImport = ['http', 'telemetry']
const everybodyMayImport = ['lib', 'errors', 'limits', 'refusals', 'release']

interface Ban {
  /** What is found in a line of code, comments aside. */
  readonly found: RegExp
  readonly inFiles: (path: string) => boolean
  readonly say: string
}

const inNoun = (path: string): boolean => nouns.some((noun) => path.startsWith(`src/${noun}/`))
const inEdge = (edge: (typeof edges)[number]) => (path: string) => path.startsWith(`src/${edge}/`)
const isStore = (path: string): boolean => /(?:^|[/-])store\.ts$/.test(path)
const isRoute = (path: string): boolean => path.endsWith('/route.ts')
const isWeb = (path: string): boolean =>
  inEdge('http')(path) || isRoute(path) || path === 'src/app.ts' || path === 'src/server.ts'
const isSource = (path: string): boolean => path.startsWith('src/')

const imports = (packages: string): RegExp => new RegExp(`(?:from|import\\()\\s*'(?:${packages})(?:/[^']*)?'`)

const bans: readonly Ban[] = [
  // ── Packages ───────────────────────────────────────────────────────────────────────────────────────
  {
    found: imports('fastify|@fastify|node:http|node:https'),
    inFiles: (path) => isSource(path) && !isWeb(path),
    say: 'the web stays in src/http, app.ts, server.ts and the nouns’ route.ts',
  },
  {
    found: imports('@prisma|\\.\\.?/(?:\\.\\./)?generated'),
    inFiles: (path) => isSource(path) && !isStore(path) && !inEdge('database')(path),
    say: 'Prisma stays in src/database and the *store.ts files',
  },
  {
    found: imports('pg|pg-.*'),
    inFiles: (path) => isSource(path) && !inEdge('database')(path),
    say: 'the database driver stays in src/database',
  },
  {
    found: imports('argon2'),
    inFiles: (path) => isSource(path) && path !== 'src/authentication/secret-hash.ts',
    say: 'only authentication/secret-hash.ts hashes secrets, behind the gate of verification.ts',
  },
  {
    found: imports('jose'),
    inFiles: (path) => isSource(path) && !path.startsWith('src/keys/'),
    say: 'only keys/ handles JSON Web Keys',
  },
  {
    found: imports('zod|yaml'),
    inFiles: (path) => isSource(path) && !path.startsWith('src/administration/'),
    say: 'only administration/ reads definitions',
  },
  {
    found: imports('node:cluster|close-with-grace'),
    inFiles: (path) => isSource(path) && !inEdge('process')(path),
    say: 'only process/ knows how processes begin and end',
  },
  // ── Statements ─────────────────────────────────────────────────────────────────────────────────────
  {
    found:
      /\b(?:SELECT\s|INSERT INTO\b|DELETE FROM\b|UPDATE \w+ SET\b|TRUNCATE\s)|\$(?:query|execute)Raw\b|\.(?:findMany|findFirst|findUnique|createMany|updateMany|deleteMany|upsert)\(/,
    inFiles: (path) => isSource(path) && !isStore(path) && !inEdge('database')(path),
    say: 'SQL stands in *store.ts files',
  },
  {
    found: /\bconsole\.|\bprocess\.(?:stdout|stderr|argv|exit|stdin)\b/,
    inFiles: (path) => inNoun(path) || path.startsWith('src/lib/') || isWeb(path),
    say: 'a noun prints nothing, reads no flags and ends no process',
  },
  {
    found:
      /bin\/mintmark|\bnpm (?:start|run|test)\b|['"`\s(]--[a-z][a-z-]+|"(?:keys|clients|audit|resources) [a-z]+"/,
    inFiles: (path) => inNoun(path) || path.startsWith('src/lib/') || isWeb(path),
    say: 'a noun names no command and no flag: mistakes are data, and become sentences in cli/terminal',
  },
  {
    found: /\b(?:MINTMARK_[A-Z]|DATABASE_URL)/,
    inFiles: (path) => inNoun(path) || path.startsWith('src/lib/'),
    say: 'a noun names no setting',
  },
  {
    found: /\bprocess\.env\b/,
    // inherited.ts only deletes.
    inFiles: (path) => isSource(path) && !['src/config.ts', 'src/process/inherited.ts'].includes(path),
    say: 'config.ts is the only reader of the environment',
  },
  {
    found: /\bMath\.random\b/,
    inFiles: isSource,
    say: 'randomness is an argument, and comes from node:crypto',
  },
  {
    found: /\bDate\.now\b|\bnew Date\b|\bperformance\.now\b/,
    inFiles: (path) => inNoun(path) && !isStore(path),
    say: 'time is an argument: take now in seconds, or a Clock',
  },
  {
    found: /\bDate\.now\b|\bnew Date\(\)/,
    inFiles: (path) => isStore(path),
    say: 'a store turns given moments into rows; it reads no clock',
  },
]

/** Lines a file may have without saying at its head why it is longer ("Long because …"). */
const linesMax = 300

/** What is wrong with a file, a line each; nothing where all rules hold. */
export function houseProblems(path: string, text: string): string[] {
  const code = withoutComments(text)
  const problems = [...importProblems(path, code)]
  for (const [index, line] of code.split('\n').entries()) {
    for (const { found, inFiles, say } of bans) {
      if (inFiles(path) && found.test(line)) problems.push(`${path}:${index + 1}: ${say}`)
    }
  }
  const lines = text.split('\n').length - 1
  if (lines > linesMax && !/\blong because \S/i.test(text.slice(0, 3_000)))
    problems.push(`${path}: ${lines} lines; split it, or say at its head "Long because …"`)
  return problems
}

const specifier = /(?:\bfrom\s+|\bimport\s*\(?\s*)['"](\.[^'"\s]+)['"]/g

function importProblems(path: string, code: string): string[] {
  if (!isSource(path) && !path.startsWith('packages/')) return []
  const from = partOf(path)
  const allowed = path.startsWith('packages/')
    ? [from]
    : [from, ...everybodyMayImport, ...(mayImport[from] ?? []), ...(isStore(path) ? ['generated'] : [])]
  if (nouns.some((noun) => noun === from) && isRoute(path)) allowed.push(...routeMayImport)
  return [...code.matchAll(specifier)]
    .map(([, name = '']) => normalize(join(dirname(path), name)))
    .filter((target) => !allowed.includes(partOf(target)) || (from === 'lib' && partOf(target) !== 'lib'))
    .map((target) => `${path}: imports ${target}, and ${from} may not import ${partOf(target)}`)
}

/** `token` for src/token/…, `config` for src/config.ts, `packages/x` for a package, else the path itself. */
export function partOf(path: string): string {
  const [top = '', second = '', ...rest] = path.split('/')
  if (top === 'packages') return `packages/${second}`
  if (top !== 'src') return top
  return rest.length === 0 ? second.replace(/\.ts$/, '') : second
}

/** The text with comments blanked, line by line as before. Quotes and templates are left alone. */
function withoutComments(text: string): string {
  return text.replace(
    /\/\*[\s\S]*?\*\/|(^|[\s;{}()])\/\/.*$/gm,
    (comment, before: string | undefined) => (before ?? '') + comment.replace(/[^\n]/g, ''),
  )
}
