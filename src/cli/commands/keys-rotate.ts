import { type Rotation, rotate } from '../../keys/rotation.ts'
import { assumedVerifierCacheSeconds, earlyLeadSeconds } from '../../keys/schedule.ts'
import { isSigningAlgorithm, type SigningAlgorithm } from '../../keys/signing-algorithm.ts'
import { listVerifiers, type SeenVerifier } from '../../keys/verifier-store.ts'
import { optionalMoment, readDuration } from '../../lib/moment.ts'
import { didYouMean } from '../../lib/suggest.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { keyContext, keysToShow } from '../terminal/key-context.ts'
import { unverifiedLine } from '../terminal/key-problems.ts'
import { counted, json, note, print, shownMoment } from '../terminal/output.ts'
import { renderFields, Table } from '../terminal/table.ts'

export const keysRotate = defineCommand({
  path: ['keys', 'rotate'],
  summary: 'let the next key sign earlier than planned',
  details:
    'Keys rotate automatically. Use this command if you do not want to wait. The next key signs as soon as every relying\n' +
    'service has fetched it. This lead time includes 15 minutes, because some libraries keep the JWKS that long whatever\n' +
    'its max-age says. Then no token is refused. With --now it signs at once. Relying services that have not fetched it\n' +
    'refuse its tokens until they fetch the JWKS again. If a key has leaked, use "keys revoke" instead.',
  options: {
    algorithm: {
      type: 'string',
      value: 'ALGORITHM',
      description: 'the algorithm of the key (default ES256)',
    },
    plan: {
      type: 'boolean',
      description: 'only show the plan, and the verifiers that have not fetched the next key',
    },
    'verifier-cache': {
      type: 'string',
      value: 'TIME',
      description: 'how long relying services keep the JWKS by themselves (default 15m; 0s: its max-age)',
    },
    now: { type: 'boolean', description: 'do not wait for the lead time; shows what breaks' },
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark keys rotate --plan', 'when the next key could sign, and who has not fetched it'],
    ['bin/mintmark keys rotate', 'as early as possible without refused tokens'],
    ['bin/mintmark keys rotate --verifier-cache 1h', 'for a relying service that keeps the JWKS for an hour'],
    ['bin/mintmark keys rotate --algorithm EdDSA --now --plan', 'what would break with --now'],
  ],
  async run(options) {
    const name = options.algorithm ?? 'ES256'
    const cache = readCache(options['verifier-cache'])
    await withDatabase(async (connection) => {
      const { config, database } = connection
      const known = await keysToShow(connection)
      const unverified = options.plan ? unverifiedLine(known) : undefined
      if (unverified !== undefined && known.keys.length > 0) note(unverified)
      const existing = known.keys.map((key) => key.algorithm)
      const algorithm = readAlgorithm(name, [...new Set([...config.signingAlgorithms, ...existing])])
      const context = keyContext(connection)
      const at = options.now ? 'now' : 'lead'
      const verifiers = await listVerifiers(database.prisma)
      const planned = await rotate(context, algorithm, at, false, cache)
      const unseen = verifiers.filter((verifier) => !hasFetched(verifier, planned))
      const lead = earlyLeadSeconds(config.schedule, cache)
      const breaks = options.now && planned.moments.signsFrom < planned.moments.publishedAt + lead
      if (breaks) note(breakage(planned, unseen.length, verifiers.length, lead))
      const rotation = options.plan ? planned : await rotate(context, algorithm, at, true, cache)
      if (options.json) {
        const isDone = options.plan || rotation.changed
        const seconds = breaks && isDone ? planned.moments.publishedAt + lead - planned.moments.signsFrom : 0
        print(`${json(rotationFields(rotation, verifiers, options.plan, seconds))}\n`)
      } else {
        const now = context.clock.nowSeconds()
        print(
          options.plan
            ? shownPlan(rotation, verifiers, unseen, now)
            : shownRotation(rotation, lead, cache, now),
        )
      }
    })
  },
})

/** How many verifiers are listed for a person. The latest fetches come first. */
const verifiersShownMax = 50

function readCache(text: string | undefined): number {
  const seconds = text === undefined ? assumedVerifierCacheSeconds : readDuration(text)
  if (seconds !== undefined) return seconds
  throw usageError(`--verifier-cache: "${text}" is not a time. Write a time like 15m or 1h.`)
}

function readAlgorithm(name: string, rotating: readonly SigningAlgorithm[]): SigningAlgorithm {
  const known: readonly string[] = rotating
  if (isSigningAlgorithm(name) && known.includes(name)) return name
  throw usageError(
    `--algorithm: ${name} has no keys here; ${known.join(', ')} ${known.length === 1 ? 'has' : 'have'}. The service creates keys ` +
      `of an algorithm when MINTMARK_SIGNING_ALGORITHMS or a resource names it.${isSigningAlgorithm(name) ? '' : didYouMean(name, known)}`,
  )
}

/**
 * Whether the last fetch of a verifier contained the key. No verifier can have a key that does not exist yet.
 */
function hasFetched({ kids }: SeenVerifier, { kid, made }: Rotation): boolean {
  return !made && kids.includes(kid)
}

function breakage({ made, kid }: Rotation, unseen: number, all: number, lead: number): string {
  const key = made ? 'the next key (it is not created yet)' : kid
  return (
    `With --now, relying services that have not fetched ${key} refuse its tokens until they fetch the JWKS ` +
    `again, for up to ${lead} seconds. Of ${counted(all, 'known verifier')}, ${unseen} ${unseen === 1 ? 'has' : 'have'} not.`
  )
}

function shownPlan(
  rotation: Rotation,
  verifiers: readonly SeenVerifier[],
  unseen: readonly SeenVerifier[],
  now: number,
): string {
  const { moments, made } = rotation
  const fields = renderFields([
    ['next key', made ? 'not created yet; it would be created and published at once' : rotation.kid],
    ['algorithm', `${rotation.algorithm}, generation ${rotation.generation}`],
    ['published', shownMoment(moments.publishedAt)],
    ['would sign from', whenShown(moments.signsFrom, now)],
    ['as planned from', shownMoment(rotation.plannedFrom, 'when the service creates it')],
    ['would sign until', shownMoment(moments.signsUntil)],
    ...(rotation.tokensEndBy === undefined
      ? []
      : [['tokens until then', `end by ${shownMoment(rotation.tokensEndBy)} at the latest`] as const]),
  ])
  const listed = unseen.slice(0, verifiersShownMax)
  const rows = listed.map(({ name, address, lastFetchedAt }) => [name, address, shownMoment(lastFetchedAt)])
  const columns = [{ title: 'HAS NOT FETCHED IT' }, { title: 'ADDRESS' }, { title: 'LAST FETCHED' }]
  const more = unseen.length - listed.length
  const table =
    rows.length === 0
      ? ''
      : `\n${new Table(columns).render(rows)}${more === 0 ? '' : `and ${more} more; --json lists all\n`}`
  const count = `${unseen.length} of ${counted(verifiers.length, 'known verifier')} ${unseen.length === 1 ? 'has' : 'have'} not fetched the next key.`
  return `${fields}${table}\n${count} This is only a plan. Nothing was changed.\n`
}

function shownRotation(rotation: Rotation, lead: number, cache: number, now: number): string {
  const { kid, algorithm, made, moments, changed, meanwhile } = rotation
  if (meanwhile)
    return `Nothing was changed. Another command let ${kid} sign ${algorithm} tokens at once while this one ran. If you want one more key, run it again.\n`
  if (!changed) {
    const said = `Nothing was changed. ${kid} signs ${algorithm} tokens from ${whenShown(moments.signsFrom, now)}`
    const missing = moments.publishedAt + lead - moments.signsFrom
    return missing <= 0
      ? `${said}, the earliest time at which every relying service knows it.\n`
      : `${said}, as planned before. No command makes that later. A relying service that keeps the JWKS for ${counted(cache, 'second')} may refuse its tokens for ${counted(missing, 'second')} after that: let it fetch the JWKS before.\n`
  }
  const subject = made ? `${kid} is created and published. It` : kid
  return `${subject} signs ${algorithm} tokens from ${whenShown(moments.signsFrom, now)} on.\n`
}

function whenShown(moment: number, now: number): string {
  const ahead = moment - now
  return `${shownMoment(moment)} (${ahead <= 0 ? 'now' : `in ${counted(ahead, 'second')}`})`
}

function rotationFields(
  rotation: Rotation,
  verifiers: readonly SeenVerifier[],
  plan: boolean,
  breaksForSeconds: number,
): Record<string, unknown> {
  const { kid, algorithm, generation, moments, made } = rotation
  return {
    ...(plan ? { plan: true } : {}),
    kid: kid === '' ? null : kid,
    new: made,
    changed: rotation.changed,
    algorithm,
    generation,
    published_at: optionalMoment(moments.publishedAt),
    signs_from: optionalMoment(moments.signsFrom),
    planned_from: optionalMoment(rotation.plannedFrom),
    signs_until: optionalMoment(moments.signsUntil),
    published_until: optionalMoment(moments.publishedUntil),
    tokens_end_by: optionalMoment(rotation.tokensEndBy),
    breaks_for_seconds: breaksForSeconds,
    verifiers: verifiers.map((verifier) => ({
      name: verifier.name,
      named: verifier.named,
      address: verifier.address,
      last_fetched_at: optionalMoment(verifier.lastFetchedAt),
      has_next_key: hasFetched(verifier, rotation),
    })),
  }
}
