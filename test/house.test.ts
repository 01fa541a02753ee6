/** The rules of the house hold for every file, and each of them notices a line that breaks it. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { houseProblems, mayImport, nouns, partOf } from './support/house.ts'

const root = join(import.meta.dirname, '..')
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => /\.[cm]?[jt]s$/.test(path) && existsSync(join(root, path)))

test('every file keeps the rules of the house', () => {
  expect(files).toContain('src/token/issue.ts')
  expect(files.flatMap((path) => houseProblems(path, readFileSync(join(root, path), 'utf8')))).toEqual([])
})

/** Lines that do not exist, and where they would be wrong. */
const planted: readonly (readonly [path: string, line: string, rule: string])[] = [
  // Imports between folders.
  ['src/ledger/record.ts', `import { issueToken } from '../token/issue.ts'`, 'may not import token'],
  [
    'src/registry/registry.ts',
    `import type { Plan } from '../administration/plan.ts'`,
    'may not import administration',
  ],
  ['src/keys/upkeep.ts', `import { createLog } from '../telemetry/log.ts'`, 'may not import telemetry'],
  ['src/token/issue.ts', `import { print } from '../cli/terminal/output.ts'`, 'may not import cli'],
  [
    'src/authentication/client-secret.ts',
    `import { decide } from '../token/decide.ts'`,
    'may not import token',
  ],
  ['src/administration/plan.ts', `import { readConfig } from '../config.ts'`, 'may not import config'],
  ['src/certificates/sign.ts', `import { signToken } from '../keys/keyring.ts'`, 'may not import keys'],
  ['src/lib/moment.ts', `import { limits } from '../limits.ts'`, 'may not import limits'],
  ['src/database/open.ts', `import type { AuditRecord } from '../ledger/record.ts'`, 'may not import ledger'],
  ['src/process/workers.ts', `import { print } from '../cli/terminal/output.ts'`, 'may not import cli'],
  ['src/token/route.ts', `import { openDatabase } from '../database/open.ts'`, 'may not import database'],
  [
    'packages/embedded-postgres/src/server.ts',
    `import { limits } from '../../../src/limits.ts'`,
    'may not import',
  ],
  ['src/database/open.ts', `const later = await import('../server.ts')`, 'may not import server'],
  ['src/http/health.ts', `import { openDatabase } from '../database/open.ts'`, 'may not import database'],
  ['src/telemetry/log.ts', `import { entityTag } from '../http/etag.ts'`, 'may not import http'],
  ['src/cli/commands/serve.ts', `import { openService } from '../../app.ts'`, 'may not import app'],
  ['src/app.ts', `import { openDatabase } from './database/open.ts'`, 'may not import database'],
  ['src/server.ts', `import { print } from './cli/terminal/output.ts'`, 'may not import cli'],
  ['src/registry-and-keys.ts', `import { listen } from './http/listen.ts'`, 'may not import http'],
  ['src/config.ts', `import { createLog } from './telemetry/log.ts'`, 'may not import telemetry'],
  ['src/config-address.ts', `import { readConfig } from './config.ts'`, 'may not import config'],
  ['src/config-tls.ts', `import { readConfig } from './config.ts'`, 'may not import config'],
  ['src/settings.ts', `import { readConfig } from './config.ts'`, 'may not import config'],
  ['src/errors.ts', `import { print } from './cli/terminal/output.ts'`, 'may not import cli'],
  ['src/limits.ts', `import { parseToken } from './token/form.ts'`, 'may not import token'],
  ['src/refusals.ts', `import { AuditRecord } from './ledger/record.ts'`, 'may not import ledger'],
  ['src/release.ts', `import { readConfig } from './config.ts'`, 'may not import config'],
  // Packages.
  ['src/token/issue.ts', `import fastify from 'fastify'`, 'the web stays'],
  ['src/authentication/authorization.ts', `import { IncomingMessage } from 'node:http'`, 'the web stays'],
  ['src/administration/plan.ts', `import { Prisma } from '../generated/client.ts'`, 'Prisma stays'],
  ['src/ledger/commit.ts', `import pg from 'pg'`, 'the database driver'],
  ['src/authentication/verification.ts', `import argon2 from 'argon2'`, 'hashes secrets'],
  ['src/token/claims.ts', `import { SignJWT } from 'jose'`, 'JSON Web Keys'],
  ['src/cli/commands/seed.ts', `import { parse } from 'yaml'`, 'reads definitions'],
  ['src/server.ts', `import cluster from 'node:cluster'`, 'how processes begin'],
  // Statements.
  ['src/token/decide.ts', 'const text = `SELECT hash FROM client_secret`', 'SQL stands in'],
  ['src/keys/rotation.ts', `await transaction.$executeRaw\`\``, 'SQL stands in'],
  ['src/administration/plan.ts', `await database.client.findMany({})`, 'SQL stands in'],
  ['src/keys/keyring.ts', `console.log(kid)`, 'prints nothing'],
  ['src/registry/registry.ts', `process.stderr.write('x')`, 'prints nothing'],
  ['src/administration/plan.ts', `const force = process.argv.includes('x')`, 'prints nothing'],
  ['src/administration/plan.ts', `throw new Error('Run "bin/mintmark clients list".')`, 'names no command'],
  ['src/keys/rotation.ts', `const message = 'Look at "keys list".'`, 'names no command'],
  ['src/administration/plan.ts', `const message = 'give it with --access'`, 'names no command'],
  ['src/keys/rotation.ts', `const message = 'MINTMARK_CLOCK_SKEW_SECONDS'`, 'names no setting'],
  ['src/token/issue.ts', `if (process.env['DEBUG']) return`, 'only reader of the environment'],
  ['src/token/issue.ts', `const id = Math.random()`, 'randomness is an argument'],
  ['src/token/claims.ts', `const now = Date.now()`, 'time is an argument'],
  ['src/keys/schedule.ts', `const now = new Date()`, 'time is an argument'],
  ['src/keys/store.ts', `const now = Date.now()`, 'reads no clock'],
]

describe('a planted line is noticed', () => {
  test.each(planted)('%s: %s', (path, line, rule) => {
    expect(houseProblems(path, `/** A file. */\n${line}\n`).join('\n')).toContain(rule)
  })

  test('in a file that has become too long without a reason', () => {
    const long = 'const x = 1\n'.repeat(301)
    expect(houseProblems('src/token/issue.ts', long)).toHaveLength(1)
    expect(houseProblems('src/token/issue.ts', `/** Long because it is a list. */\n${long}`)).toEqual([])
  })

  test.each(planted)('and in a comment it is only a word: %s: %s', (path, line) => {
    expect(houseProblems(path, `/** A file. */\n// ${line}\n`)).toEqual([])
  })
})

/** Lines that do not exist yet, and the one place each belongs to: the page says where, and the rules let it in. */
const placed: readonly (readonly [path: string, line: string])[] = [
  // Another way to authenticate, and why it fails.
  ['src/authentication/saml-assertion.ts', `import type { AuthenticationMethod } from './method.ts'`],
  ['src/refusals.ts', `token_lifetime_too_long: request('The token would live too long.'),`],
  // A contact of a client: what is registered, its bound, its row, its flag, its sentence.
  ['src/administration/contact-registration.ts', `import { z } from 'zod'`],
  ['src/limits.ts', 'contactCharactersMax: 256,'],
  ['src/administration/contact-store.ts', 'await transaction.$executeRaw`UPDATE client SET contact = 1`'],
  ['src/cli/commands/clients-contact.ts', `const flag = '--contact'`],
  ['src/cli/terminal/mistakes.ts', `const sentence = '"bin/mintmark clients update" sets another contact.'`],
  // A figure for operators. Nouns hand out events, and telemetry knows them.
  ['src/telemetry/metrics.ts', `import type { KeyUpkeepEvents } from '../keys/upkeep.ts'`],
  // Two settings that mean something together.
  ['src/config-issuer-alias.ts', `const alias = given['MINTMARK_TOKEN_ISSUER_ALIAS']`],
  // A route that no noun owns, and one that a noun owns.
  ['src/http/protected-resource.ts', `import type { FastifyInstance } from 'fastify'`],
  ['src/administration/route.ts', `import type { FastifyInstance } from 'fastify'`],
  ['src/ledger/route.ts', `import { entityTag } from '../http/etag.ts'`],
  // What a store does about a fault of the database; what the fault is called.
  ['src/ledger/tile-store.ts', 'await database.$executeRaw`INSERT INTO tile VALUES (1)`'],
  ['src/ledger/tiles.ts', `import { isDeadlock } from '../database/faults.ts'`],
  ['src/database/deadlock.ts', `import pg from 'pg'`],
  // When keys change, and how they are told apart.
  ['src/keys/jitter.ts', `import type { KeyMoments } from './state.ts'`],
  ['src/registry/issuer-alias.ts', `import type { SigningAlgorithm } from '../keys/signing-algorithm.ts'`],
  // A signal; files of the development CA; what knows nothing of tokens.
  ['src/process/listener.ts', `import type { Service } from '../server.ts'`],
  ['src/certificates/alias.ts', `import { readMoment } from '../lib/moment.ts'`],
  ['src/lib/network-comparison.ts', `import { parseNetwork } from './network.ts'`],
]

describe('a line that does not exist yet has a place', () => {
  test.each(placed)('%s: %s', (path, line) => {
    expect(houseProblems(path, `/** A file. */\n${line}\n`)).toEqual([])
    const file = join(root, path)
    expect(existsSync(file) ? readFileSync(file, 'utf8') : '', 'it exists by now').not.toContain(line)
  })
})

test('the architecture says which part may import which', () => {
  const lines = Object.entries(mayImport)
    .filter(([part, others]) => /^[a-z-]+$/.test(part) && others.length > 0)
    .map(([part, others]) => `${part.padEnd(18)}${others.join(' ').replace(nouns.join(' '), 'nouns')}`)
  expect(readFileSync(join(root, 'docs/ARCHITECTURE.md'), 'utf8')).toContain(lines.join('\n'))
})

test('each part has a planted line that it may not import', () => {
  const parts = planted
    .filter(([, , rule]) => rule.startsWith('may not import'))
    .map(([path]) => partOf(path))
  expect(new Set(parts)).toEqual(new Set([...Object.keys(mayImport), 'packages/embedded-postgres']))
})
