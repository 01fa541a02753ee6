import { type Rotation, rotate } from '../../keys/rotation.ts'
import { leadSeconds } from '../../keys/schedule.ts'
import { isSigningAlgorithm, type SigningAlgorithm } from '../../keys/signing-algorithm.ts'
import { listKeys } from '../../keys/store.ts'
import { listVerifiers, type SeenVerifier } from '../../keys/verifier-store.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { didYouMean } from '../../lib/suggest.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { keyContext } from '../terminal/key-context.ts'
import { counted, json, note, print, shownMoment } from '../terminal/output.ts'
import { renderFields, Table } from '../terminal/table.ts'

export const keysRotate = defineCommand({
  path: ['keys', 'rotate'],
  summary: 'let the next key sign earlier than planned',
  details:
    'Keys rotate by themselves; this is for when you do not want to wait. The next key signs as soon as every\n' +
    'cache that keeps to the JWKS max-age has seen it (the lead time), which breaks nobody. With --now it signs at\n' +
    'once, and relying services that have not seen it refuse its tokens until they fetch the JWKS again. A key that\n' +
    'leaked is called back with "keys revoke" instead.',
  options: {
    algorithm: { type: 'string', value: 'ALGORITHM', description: 'whose next key (default ES256)' },
    plan: {
      type: 'boolean',
      description: 'say what would happen when, and who has not fetched the next key; do nothing',
    },
    now: { type: 'boolean', description: 'do not wait for the lead time; says what that breaks' },
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark keys rotate --plan', 'when the next key could sign, and who has not seen it'],
    ['bin/mintmark keys rotate', 'as early as nobody notices'],
    ['bin/mintmark keys rotate --algorithm EdDSA --now --plan', 'what doing it at once would break'],
  ],
  async run(options) {
    const name = options.algorithm ?? 'ES256'
    await withDatabase(async (connection) => {
      const { config, database } = connection
      const made = (await listKeys(database.prisma)).map((key) => key.algorithm)
      const algorithm = readAlgorithm(name, [...new Set([...config.signingAlgorithms, ...made])])
      const context = keyContext(connection)
      const at = options.now ? 'now' : 'lead'
      const verifiers = await listVerifiers(database.prisma)
      const planned = await rotate(context, algorithm, at, false)
      const unseen = verifiers.filter((verifier) => !hasSeen(verifier, planned))
      const lead = leadSeconds(config.schedule)
      const breaks = options.now && planned.moments.signsFrom < planned.moments.publishedAt + lead
      if (breaks) note(breakage(planned, unseen.length, verifiers.length, lead))
      const rotation = options.plan ? planned : await rotate(context, algorithm, at)
      if (options.json) {
        const seconds = breaks ? planned.moments.publishedAt + lead - planned.moments.signsFrom : 0
        print(`${json(rotationFields(rotation, verifiers, options.plan, seconds))}\n`)
      } else {
        const now = context.clock.nowSeconds()
        print(options.plan ? shownPlan(rotation, verifiers, unseen, now) : shownRotation(rotation, now))
      }
    })
  },
})

/** Lines of a list that somebody reads; the latest fetches come first. */
const verifiersShownMax = 50

function readAlgorithm(name: string, rotating: readonly SigningAlgorithm[]): SigningAlgorithm {
  const known: readonly string[] = rotating
  if (isSigningAlgorithm(name) && known.includes(name)) return name
  throw usageError(
    `--algorithm: ${name} has no keys here; ${known.join(', ')} ${known.length === 1 ? 'has' : 'have'}. Keys of an algorithm are made ` +
      `when MINTMARK_SIGNING_ALGORITHMS or a resource names it.${didYouMean(name, known)}`,
  )
}

/** Whether a verifier's last fetch gave it the key; nobody can have one that is not made yet. */
function hasSeen({ kids }: SeenVerifier, { kid, made }: Rotation): boolean {
  return !made && kids.includes(kid)
}

function breakage({ made, kid }: Rotation, unseen: number, all: number, lead: number): string {
  const key = made ? 'the next key (it is not made yet)' : kid
  return (
    `--now breaks this: relying services that have not fetched ${key} refuse its tokens until they fetch the JWKS ` +
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
    ['next key', made ? 'not made yet; it would be made and published at once' : rotation.kid],
    ['algorithm', `${rotation.algorithm}, generation ${rotation.generation}`],
    ['published', shownMoment(moments.publishedAt)],
    ['would sign from', whenShown(moments.signsFrom, now)],
    ['as planned from', shownMoment(rotation.plannedFrom, 'when the service makes it')],
    ['would sign until', shownMoment(moments.signsUntil)],
  ])
  const listed = unseen.slice(0, verifiersShownMax)
  const rows = listed.map(({ name, address, lastFetchedAt }) => [name, address, shownMoment(lastFetchedAt)])
  const columns = [{ title: 'HAS NOT SEEN IT' }, { title: 'ADDRESS' }, { title: 'LAST FETCHED' }]
  const more = unseen.length - listed.length
  const table =
    rows.length === 0
      ? ''
      : `\n${new Table(columns).render(rows)}${more === 0 ? '' : `and ${more} more; --json lists all\n`}`
  const count = `${unseen.length} of ${counted(verifiers.length, 'known verifier')} ${unseen.length === 1 ? 'has' : 'have'} not fetched the next key.`
  return `${fields}${table}\n${count} This was a plan: nothing was done.\n`
}

function shownRotation({ kid, algorithm, made, moments, changed }: Rotation, now: number): string {
  if (!changed) {
    return `Nothing to do: ${kid} is to sign ${algorithm} tokens from ${whenShown(moments.signsFrom, now)}, the earliest that breaks nobody.\n`
  }
  const subject = made ? `${kid} is made and published. It` : kid
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
    breaks_for_seconds: breaksForSeconds,
    verifiers: verifiers.map((verifier) => ({
      name: verifier.name,
      named: verifier.named,
      address: verifier.address,
      last_fetched_at: optionalMoment(verifier.lastFetchedAt),
      has_next_key: hasSeen(verifier, rotation),
    })),
  }
}
