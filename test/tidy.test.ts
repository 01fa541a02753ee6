/**
 * The repository checks itself: what is written twice is equal, nothing is left over, and everything that is
 * pointed at is there. What the linter can check is in biome.json; where a line belongs is checked by house.test.ts.
 *
 * Long because each thing that is written twice is compared here.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { parseEnv } from 'node:util'
import { describe, expect, test } from 'vitest'
import { type Config, readConfig } from '../src/config.ts'
import { limits } from '../src/limits.ts'
import { type RefusalDefinition, refusals } from '../src/refusals.ts'
import { settingNames } from '../src/settings.ts'
import { survivors } from './mutation/survivors.js'
import { certificate, privateKey } from './support/certificate.ts'

const root = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

/** Everything that is committed, or would be by `git add .`. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => statSync(join(root, path), { throwIfNoEntry: false })?.isFile())
  .sort()

const code = files.filter((path) => /\.[cm]?[jt]s$/.test(path) || path === 'bin/mintmark')
const documents = files.filter((path) => path.endsWith('.md'))

test('there is something to check', () => {
  expect(code).toContain('src/config.ts')
  expect(documents).toContain('README.md')
})

/** Settings that mean nothing without others. */
function neededBy(name: string): Record<string, string> {
  const isOfProxy = name.startsWith('MINTMARK_CLIENT_CERTIFICATE_')
  if (!name.startsWith('MINTMARK_MTLS_') && !isOfProxy) return {}
  const proxy = {
    MINTMARK_CLIENT_CERTIFICATE_HEADER: 'rfc9440',
    MINTMARK_CLIENT_CERTIFICATE_PROXY: `sha256:${'0'.repeat(64)}`,
  }
  return {
    ...(isOfProxy ? proxy : {}),
    MINTMARK_TLS_CERTIFICATE: certificate,
    MINTMARK_TLS_PRIVATE_KEY: privateKey,
    MINTMARK_TLS_CLIENT_CA: 'none',
    MINTMARK_MTLS_PORT: '1',
  }
}

describe('.env.example', () => {
  const text = read('.env.example')
  const shown = [...text.matchAll(/^#([A-Z0-9_]+)=(.*)$/gm)].map(
    ([, name = '', value = '']) => [name, value] as const,
  )

  test('shows every setting once, and nothing that is none', () => {
    const names = shown.map(([name]) => name.replace(/_FILE$/, ''))
    expect([...names].sort()).toEqual([...settingNames].sort())
  })

  test('changes nothing when it is copied', () => {
    expect(parseEnv(text)).toEqual({})
  })

  test('says of each what it means and what happens without it', () => {
    for (const [name] of shown) {
      const block =
        text
          .slice(0, text.indexOf(`\n#${name}=`))
          .split(/\n\n/)
          .at(-1) ?? ''
      expect(block, name).toMatch(/^# [^─]/)
      expect(block, name).toContain('Default: ')
    }
  })

  test('names the defaults that there are', () => {
    const defaults = [...text.matchAll(/^# Default: (\S+)\n#([A-Z0-9_]+)=(.*)$/gm)]
    expect(defaults.length).toBeGreaterThan(5)
    for (const [, value, name = '', example = ''] of defaults) {
      expect(example, name).toBe(value)
      expect(readConfig({ [name]: example }), name).toEqual(readConfig({}))
    }
  })

  test('has examples that are accepted', () => {
    for (const [name, value] of shown) {
      if (name.endsWith('_FILE')) continue
      expect((): Config => readConfig({ ...neededBy(name), [name]: value }), name).not.toThrow()
    }
  })
})

describe('docs/reference/errors.md', () => {
  const cells = [
    ...read('docs/reference/errors.md').matchAll(/^\| `(\w+)` \| `(\w+)` \| (\d+) \| (.+) \| (.+) \|$/gm),
  ]
  const rows = cells.map(([, reason, error, status, description]) => [
    reason,
    error,
    Number(status),
    description,
  ])

  test('lists every refusal as it is, in the same order, and none that is not', () => {
    const table = Object.entries<RefusalDefinition>(refusals)
    expect(rows).toEqual(
      table.map(([reason, { error, status, description }]) => [reason, error, status, description]),
    )
  })

  test('says of each what to do about it', () => {
    for (const [, reason, , , , advice = ''] of cells) expect(advice.length, reason).toBeGreaterThan(15)
  })

  test('every refusal is given somewhere', () => {
    const source = code
      .filter((path) => path.startsWith('src/') && path !== 'src/refusals.ts')
      .map(read)
      .join('\n')
    expect(Object.keys(refusals).filter((reason) => !source.includes(`'${reason}'`))).toEqual([])
  })

  test('the numbers in its sentences are the limits', () => {
    const { body_too_large, parameters_too_many, parameter_too_long, scopes_too_many } = refusals
    expect(body_too_large.description).toContain(` ${limits.bodyBytesMax / 1024} KiB`)
    expect(parameters_too_many.description).toContain(` ${limits.formParametersMax} `)
    expect(parameter_too_long.description).toContain(` ${limits.parameterCharactersMax} `)
    expect(scopes_too_many.description).toContain(` ${limits.scopesPerRequestMax} `)
  })
})

test('docs/reference/events.md lists every event of the log once, and none that is not', () => {
  const source = code
    .filter((path) => path.startsWith('src/'))
    .map(read)
    .join('\n')
  const events = new Set([...source.matchAll(/\bevent: '(\w+)'/g)].map(([, name = '']) => name))
  const listed = [...read('docs/reference/events.md').matchAll(/^\| `(\w+)` \|/gm)].map(
    ([, name = '']) => name,
  )
  expect(events).toContain('listening')
  expect(listed.sort()).toEqual([...events].sort())
})

describe('docs/reference/limits.md', () => {
  /** The page as it must be: names, values and reasons from limits.ts, in its order. */
  function page(): { text: string; names: string[]; withoutReason: string[] } {
    const lines = ['# Limits', '', introduction]
    const names: string[] = []
    const withoutReason: string[] = []
    const part = /\/\/ ── (.+?) ─+$|\/\*\*\s*([\s\S]*?)\s*\*\/|^ {2}(\w+):/gm
    let reason = ''
    for (const [, title, comment, name] of read('src/limits.ts')
      .split('export const limits')[1]
      ?.matchAll(part) ?? []) {
      if (title !== undefined) lines.push('', `## ${title}`, '', '| limit | value | |', '|---|---|---|')
      if (comment !== undefined) reason = comment.replace(/(?:^|\s*\n\s*)\*\s*/g, ' ').trim()
      if (name === undefined) continue
      names.push(name)
      if (reason === '') withoutReason.push(name)
      const value = limits[name as keyof typeof limits].toLocaleString('en')
      lines.push(`| \`${name}\` | ${value} | ${reason} |`)
      reason = ''
    }
    return { text: `${lines.join('\n')}\n`, names, withoutReason }
  }

  const introduction =
    'Every limit of the service that is not a setting. The limits are in `src/limits.ts`, and a test keeps this page equal\n' +
    'to it. After a change there, `bin/mintmark test --project pure tidy -u` writes this page again.'

  test('shows every limit with its value and its reason', async () => {
    const { text, names, withoutReason } = page()
    expect(names).toEqual(Object.keys(limits))
    expect(withoutReason).toEqual([])
    // Without this, a page that is missing would be written and found equal to itself.
    expect(documents).toContain('docs/reference/limits.md')
    await expect(text).toMatchFileSnapshot(join(root, 'docs/reference/limits.md'))
  })

  test('every limit is kept somewhere', () => {
    const source = code
      .filter((path) => path.startsWith('src/') && path !== 'src/limits.ts')
      .map(read)
      .join('\n')
    expect(Object.keys(limits).filter((name) => !new RegExp(`\\b${name}\\b`).test(source))).toEqual([])
  })
})

describe('documents', () => {
  /** Without code, in which # and [](…) mean something else. */
  const prose = (path: string): string =>
    read(path)
      .replace(/^```[\s\S]*?^```/gm, '')
      .replace(/`[^`\n]*`/g, '`code`')
  const anchorOf = (title: string): string =>
    title
      .trim()
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-')

  test.each(documents)('%s has exactly one title', (path) => {
    expect(prose(path).match(/^# /gm)).toHaveLength(1)
    expect(prose(path)).toMatch(/^# \S/)
  })

  test.each(documents)('every relative link in %s leads somewhere', (path) => {
    const broken = [...prose(path).matchAll(/\]\(([^)\s]+)\)|^\[[^\]]+\]:\s*(\S+)/gm)]
      .map(([, inline, reference]) => inline ?? reference ?? '')
      .filter((link) => !/^[a-z]+:/.test(link))
      .filter((link) => {
        const [file = '', anchor] = link.split('#')
        const target = file === '' ? path : normalize(join(dirname(path), file))
        if (!existsSync(join(root, target))) return true
        const titles = anchor === undefined ? [] : [...prose(target).matchAll(/^#+ (.+)$/gm)]
        return anchor !== undefined && !titles.some(([, title = '']) => anchorOf(title) === anchor)
      })
    expect(broken).toEqual([])
  })
})

describe('imports', () => {
  const specifier = /(?:\bfrom\s+|\bimport\s*\(?\s*|\brequire(?:\.resolve)?\(\s*)['"]([^'"\s]+)['"]/g
  const importsOf = (path: string): string[] =>
    [...read(path).matchAll(specifier)].map(([, name = '']) => name)
  /** A package that others install is built for them. Here its source is used. */
  type Exports = string | { readonly '.': { readonly '@mintmark/source': string } }
  /** The packages of this repository: the file that each name stands for. */
  const workspaces = new Map(
    files
      .filter((path) => /^packages\/[^/]+\/package\.json$/.test(path))
      .map((path) => {
        const { name, exports } = JSON.parse(read(path)) as { name: string; exports: Exports }
        const entry = typeof exports === 'string' ? exports : exports['.']['@mintmark/source']
        return [name, normalize(join(dirname(path), entry))]
      }),
  )
  const localImportsOf = (path: string): string[] =>
    importsOf(path).flatMap((name) =>
      name.startsWith('.') ? [normalize(join(dirname(path), name))] : (workspaces.get(name) ?? []),
    )

  /** All that is loaded when these are. */
  function reachableFrom(entries: readonly string[]): Set<string> {
    const reached = new Set<string>()
    const waiting = [...entries]
    for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
      if (reached.has(path) || !code.includes(path)) continue
      reached.add(path)
      waiting.push(...localImportsOf(path))
    }
    return reached
  }

  const isEntry = (path: string): boolean =>
    [
      'src/cli/main.ts',
      'src/process/worker.ts',
      'prisma/seed.ts',
      'bin/mintmark',
      'bin/keep-database.js',
      'bin/healthy.js',
    ].includes(path) ||
    /^(bench\/.+|examples\/.+|[^/]+\.config\.ts|packages\/[^/]+\/src\/index\.ts)$/.test(path)
  const isOfTests = (path: string): boolean => /^(packages\/[^/]+\/)?test\//.test(path)
  const isTest = (path: string): boolean =>
    /\.test\.ts$|^test\/(support\/(postgres|cheap-hashes)\.ts$|mutation\/)/.test(path)

  test('no source file is left that nothing uses', () => {
    const used = reachableFrom(code.filter(isEntry))
    expect(code.filter((path) => !isOfTests(path) && !used.has(path))).toEqual([])
  })

  test('no helper of the tests is left that no test uses', () => {
    // Programs that a person starts, and what starts the tests.
    const isStarted = (path: string): boolean =>
      [
        'test/interop/run.ts',
        'test/database/versions.ts',
        'test/vectors/make.ts',
        'vitest.config.ts',
      ].includes(path)
    const used = reachableFrom(code.filter((path) => isTest(path) || isStarted(path)))
    // Programs, each run by test/interop/run.ts or test/peers/guide.test.ts.
    const isProgram = (path: string): boolean => /^test\/interop\/(node|ours)\//.test(path)
    expect(code.filter((path) => isOfTests(path) && !isProgram(path) && !used.has(path))).toEqual([])
  })

  test('only the adapter of the embedded database imports a package of ours, and only when it is needed', () => {
    const importers = code.filter(
      (path) =>
        path.startsWith('src/') && localImportsOf(path).some((target) => target.startsWith('packages/')),
    )
    expect(importers).toEqual(['src/database/embedded.ts'])
    const names = [...workspaces.keys()].join('|')
    const early = new RegExp(`^(?:import|export) (?!type ).*['"](?:${names})['"]`, 'm')
    expect(importers.filter((path) => early.test(read(path)))).toEqual([])
  })

  const manifest = JSON.parse(read('package.json'))
  const packageOf = (name: string): string => name.split('/', name.startsWith('@') ? 2 : 1).join('/')
  const packagesOf = (paths: readonly string[]): Set<string> =>
    new Set(
      paths
        .flatMap(importsOf)
        .filter((name) => !/^(\.|node:)/.test(name) && !workspaces.has(name))
        .map(packageOf),
    )
  const running = code.filter((path) => /^(src|bin|prisma)\//.test(path))

  test('every dependency is imported by what runs', () => {
    const used = packagesOf(running)
    // Prisma writes the files that import it; git does not see them.
    if (read('prisma/schema.prisma').includes('"prisma-client"')) used.add('@prisma/client')
    expect(Object.keys(manifest.dependencies).filter((name) => !used.has(name))).toEqual([])
  })

  test('what runs imports dependencies only', () => {
    const dependencies = Object.keys(manifest.dependencies)
    expect([...packagesOf(running)].filter((name) => !dependencies.includes(name))).toEqual([])
  })

  const packageManifests = files.filter((path) => /^packages\/[^/]+\/package\.json$/.test(path))

  test.each(packageManifests)('%s names exactly what the package imports', (path) => {
    const source = code.filter((file) => file.startsWith(`${dirname(path)}/src/`))
    const { dependencies = {} } = JSON.parse(read(path)) as { dependencies?: Record<string, string> }
    expect([...packagesOf(source)].sort()).toEqual(Object.keys(dependencies).sort())
  })

  test('every dependency is pinned to one version', () => {
    const ranges = ['package.json', ...packageManifests].flatMap((path) => {
      const { dependencies, devDependencies, optionalDependencies } = JSON.parse(read(path))
      return Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })
    })
    expect(ranges.length).toBeGreaterThan(10)
    expect(ranges.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.-]+)?$/.test(String(version)))).toEqual([])
    // Root and packages agree, so that npm installs each once.
    const versions = new Map(ranges)
    expect(ranges.filter(([name, version]) => versions.get(name) !== version)).toEqual([])
  })
})

describe('nothing is left over', () => {
  const texts = files.filter((path) =>
    /\.(?:[cm]?[jt]s|json|md|prisma|sql|ya?ml|toml)$|^[^.]+$|\.example$/.test(path),
  )
  /** Where in the repository an expression is found, apart from here, where the words have to stand. */
  const found = (paths: readonly string[], expression: RegExp): string[] =>
    paths
      .filter((path) => path !== relative(root, import.meta.filename) && path !== 'package-lock.json')
      .flatMap((path) =>
        read(path)
          .split('\n')
          .flatMap((line, index) => (expression.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
      )

  test('nothing that somebody meant to come back to', () => {
    expect(found(texts, /\b(?:FIXME|TODO|XXX)\b/)).toEqual([])
  })

  test('no mutation with a reason to survive is about a line that is gone', () => {
    const gone = survivors.filter(({ file, line, code }) => {
      return !read(file).includes(line) || !line.includes(code.split('\n')[0] ?? '')
    })
    expect(gone).toEqual([])
  })

  test('no check is switched off without a reason', () => {
    const suppressed = found(code, /biome-ignore/)
    expect(suppressed.filter((line) => !/biome-ignore(?:-all)? \S+: \S.{14,}/.test(line))).toEqual([])
    expect(found(code, /@ts-(?:ignore|nocheck|expect-error)|eslint-disable/)).toEqual([])
  })

  test('no test is left out, and none runs alone', () => {
    expect(found(code, /\b(?:test|describe|it)\.(?:only|skip|todo|fails)\b/)).toEqual([])
  })
})
