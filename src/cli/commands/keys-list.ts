import type { BelievedKeys } from '../../keys/believed.ts'
import type { ManifestEntry, RowProblem } from '../../keys/manifest.ts'
import { checkSeconds, nextPublicationAt } from '../../keys/schedule.ts'
import {
  isOver,
  type KeyMoments,
  latestKey,
  type ScheduleSettings,
  stateAmong,
  turnEndAmong,
} from '../../keys/state.ts'
import type { KeyDescription } from '../../keys/store.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { keysToShow } from '../terminal/key-context.ts'
import { problemLines, problemStates, unverifiedLine } from '../terminal/key-problems.ts'
import { json, note, print, shownMoment } from '../terminal/output.ts'
import { Table } from '../terminal/table.ts'
import { terminal } from '../terminal/terminal.ts'
import { drawTimeline } from '../terminal/timeline.ts'

/** The width of the timeline, in characters, if the output is a file or a pipe. */
const plainWidth = 100

export const keysList = defineCommand({
  path: ['keys', 'list'],
  summary: 'list the signing keys with their states, and draw a timeline',
  details:
    'published: in the JWKS, not signing yet. signing: signs tokens. retiring: no longer signs, in the JWKS until its last\n' +
    'token has expired. removed and revoked: does not sign, not in the JWKS. The timeline omits keys that ended more than\n' +
    'a key lifetime ago. With the key-encryption key at hand the rows are verified. unvouched, altered, revocation undone\n' +
    'and missing: somebody without the key-encryption key wrote, changed or deleted the row.',
  options: { ...jsonOption },
  examples: [
    ['bin/mintmark keys list', 'which key signs now, and which is the next'],
    ['bin/mintmark keys list --json', 'for scripts'],
  ],
  async run(options) {
    await withDatabase(async (connection) => {
      const { config, clock } = connection
      const now = clock.nowSeconds()
      const known = await keysToShow(connection)
      const shown = allShown(known, config.schedule, now)
      if (options.json) {
        const problems = known.problems.map(({ kid, problem }) => ({ kid, problem }))
        print(`${json({ keys: shown.map(keyFields), verified: known.isVerified, problems })}\n`)
      } else if (shown.length === 0)
        note('No signing keys yet. The service creates the first one when it starts.')
      else {
        print(keyTable(shown))
        const unverified = unverifiedLine(known)
        if (unverified !== undefined) note(unverified)
        for (const line of problemLines(known.problems)) note(line)
        for (const line of overdue(known.keys, config.schedule, now)) note(line)
        const width = terminal().stdout.columns ?? plainWidth
        print(`\n${drawTimeline(known.keys, config.schedule, now, width)}`)
      }
    })
  },
})

/** The keys that are believed, then what is wrong with other rows, and keys whose row is missing. */
function allShown(known: BelievedKeys, schedule: ScheduleSettings, now: number): ShownKey[] {
  const { keys, others, entries, problems, isVerified } = known
  const problemOf = new Map(problems.map(({ kid, problem }) => [kid, problem]))
  const entryOf = new Map(entries.map((entry) => [entry.kid, entry]))
  const believed = keys.map((key) => {
    const shown = shownKey(key, keys, schedule, now)
    const problem = problemOf.get(key.kid)
    return {
      ...shown,
      state: problem === undefined ? shown.state : problemStates[problem],
      vouched: isVerified ? true : null,
      problem: problem ?? null,
    }
  })
  const notBelieved = (key: ManifestEntry | KeyDescription): ShownKey => {
    const problem = problemOf.get(key.kid) ?? 'key_unknown'
    // Of an altered row, what was vouched for says more than what stands there.
    const {
      publicKeyHash: _,
      sealedKeyHash: __,
      ...entry
    } = entryOf.get(key.kid) ?? { ...key, publicKeyHash: 0, sealedKeyHash: 0 }
    const turnEndsAt = entry.signsUntil
    return { ...entry, turnEndsAt, state: problemStates[problem], vouched: false, problem }
  }
  const missing = entries.filter(({ kid }) => problemOf.get(kid) === 'key_missing')
  return [...believed, ...[...others, ...missing].map(notBelieved)]
}

/** Reports keys that a running service would have created by now. */
function overdue(keys: readonly KeyDescription[], schedule: ScheduleSettings, now: number): string[] {
  const lines: string[] = []
  for (const [algorithm, alike] of Map.groupBy(keys, (key) => key.algorithm)) {
    const latest = latestKey(alike)
    // If the latest key of an algorithm has ended, the algorithm is no longer used and no key is late.
    if (latest === undefined || isOver(latest, schedule, now)) continue
    const dueAt = nextPublicationAt(latest, schedule)
    if (now <= dueAt + lateChecks * checkSeconds(schedule)) continue
    lines.push(
      `The next ${algorithm} key should have been created at ${shownMoment(dueAt)}. Check that the service runs. ` +
        'If it does, look for key_rotation_failed in its log.',
    )
  }
  return lines
}

/** The number of checks that the service may miss before a key counts as late. */
const lateChecks = 3

interface ShownKey extends KeyMoments {
  readonly kid: string
  readonly algorithm: string
  readonly generation: number
  readonly keyEncryptionKeyId: string
  readonly state: string
  readonly turnEndsAt: number | undefined
  /** Null if it was not verified. */
  readonly vouched: boolean | null
  readonly problem: RowProblem | null
}

/** A key given the others: its turn ends when the turn of the next key begins, or when it is revoked. */
function shownKey(
  key: KeyDescription,
  keys: readonly KeyDescription[],
  schedule: ScheduleSettings,
  now: number,
) {
  return {
    ...key,
    state: stateAmong(key, keys, schedule, now, now),
    turnEndsAt: turnEndAmong(key, keys, schedule),
  }
}

function keyFields(key: ShownKey): Record<string, unknown> {
  return {
    kid: key.kid,
    algorithm: key.algorithm,
    generation: key.generation,
    state: key.state,
    published_at: optionalMoment(key.publishedAt),
    signs_from: optionalMoment(key.signsFrom),
    signs_until: optionalMoment(key.turnEndsAt),
    published_until: optionalMoment(key.publishedUntil),
    revoked_at: optionalMoment(key.revokedAt),
    key_encryption_key_id: key.keyEncryptionKeyId,
    vouched: key.vouched,
    problem: key.problem,
  }
}

function keyTable(keys: readonly ShownKey[]): string {
  const titles = [
    'KID',
    'ALGORITHM',
    'GENERATION',
    'STATE',
    'PUBLISHED',
    'SIGNS FROM',
    'SIGNS UNTIL',
    'REMOVED',
  ]
  const rows = keys.map((key) => [
    key.kid,
    key.algorithm,
    String(key.generation),
    key.state,
    shownMoment(key.publishedAt),
    shownMoment(key.signsFrom),
    shownMoment(key.turnEndsAt),
    shownMoment(key.revokedAt ?? key.publishedUntil),
  ])
  return new Table(titles.map((title) => ({ title }))).render(rows)
}
