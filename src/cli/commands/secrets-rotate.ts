import { planRotation, rotateSecret, type SecretRotation } from '../../administration/rotate-secret.ts'
import { optionalMoment, readDuration } from '../../lib/moment.ts'
import { limits } from '../../limits.ts'
import { futureMoment } from '../terminal/arguments.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { type Connection, withDatabase } from '../terminal/connect.ts'
import { secretContext } from '../terminal/key-context.ts'
import { json, note, print, shownMoment } from '../terminal/output.ts'
import { SecretOutput } from '../terminal/secret-output.ts'

const defaultOverlap = '24h'

export const secretsRotate = defineCommand({
  path: ['clients', 'secrets', 'rotate'],
  summary: "replace a client's secret: print a new one, once, and let the old ones end by themselves",
  details:
    'Both are valid during the overlap. Deploy the new one meanwhile; "clients secrets list" shows who still uses the old\n' +
    'one. The overlap ends by itself, even if no process runs. With --end-when-unused it ends sooner, when nobody has used\n' +
    'the old one for that time: choose more than the longest time between two tokens of a caller. An earlier end of a\n' +
    'secret stays. --overlap 0s ends the others at once.',
  positionals: [{ name: 'CLIENT', description: 'the client id' }],
  options: {
    overlap: {
      type: 'string',
      value: 'TIME',
      description: `how long the others stay valid, like 2h or 7d (default: ${defaultOverlap})`,
    },
    'end-when-unused': {
      type: 'string',
      value: 'TIME',
      description: 'end each of them when nobody has used it for so long, like 2h',
    },
    'expires-in': {
      type: 'string',
      value: 'TIME',
      description: 'when the new one expires, like 90d; otherwise never',
    },
    'secret-out': {
      type: 'string',
      value: 'FILE',
      description: 'write it to a new file (mode 0600) instead; "-" is stdout',
    },
    'dry-run': { type: 'boolean', description: 'say which secrets would end when, and change nothing' },
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark clients secrets rotate billing --overlap 24h', 'the old one is valid for another day'],
    [
      'bin/mintmark clients secrets rotate billing --overlap 7d --end-when-unused 2h',
      'or until nobody has used it for two hours',
    ],
    ['bin/mintmark clients secrets rotate billing --dry-run', 'what would end, and when it was used last'],
  ],
  async run(options, [clientId = '']) {
    const times = readTimes(options.overlap, options['end-when-unused'])
    const output = new SecretOutput('secret-out', options['secret-out'])
    if (options['dry-run']) {
      await withDatabase((connection) => tell(connection, clientId, times, options.json))
      return
    }
    output.reserve()
    await output.around(() =>
      withDatabase(async (connection) => {
        const ends = options['expires-in']
        const now = await connection.databaseSeconds()
        const expiresAt = ends === undefined ? undefined : futureMoment('expires-in', ends, now)
        const rotation = await rotateSecret(await secretContext(connection), clientId, {
          ...times,
          expiresAt,
          elapsedSeconds: connection.elapsedSeconds,
          deliver: (made) => output.deliverOne(made),
        })
        const { secret } = rotation
        if (options.json) {
          const shown = output.path === undefined ? { client_secret: secret.secret } : {}
          const fields = { secret_id: secret.secretId, expires_at: optionalMoment(expiresAt) }
          const replaced = { replaced: fieldsOf(rotation.replaced, times), status: 'rotated' }
          print(`${json({ client_id: clientId, ...shown, ...fields, ...replaced })}\n`)
        } else {
          print(
            `${clientId} has a new secret ${secret.secretId}, valid until ${shownMoment(expiresAt, 'revoked')}:\n`,
          )
          output.printOne(secret)
          print(sentences(rotation.replaced, times))
        }
        warn(rotation.replaced, times, now)
        if (rotation.clientStatus === 'disabled')
          note(`${clientId} is disabled. "bin/mintmark clients enable ${clientId}" enables it.`)
      }),
    )
  },
})

interface Times {
  readonly overlapSeconds: number
  readonly unusedSeconds: number | undefined
}

function readTimes(overlap = defaultOverlap, unused: string | undefined): Times {
  const overlapSeconds = secondsOf('overlap', overlap)
  const most = limits.secretOverlapSecondsMax
  if (overlapSeconds > most) {
    throw usageError(
      `--overlap: "${overlap}" is too long; ${most / 86_400}d are the most. To keep the old secret without an end: ` +
        '"bin/mintmark clients secrets add" adds one beside it.',
    )
  }
  const unusedSeconds = unused === undefined ? undefined : secondsOf('end-when-unused', unused)
  const least = limits.secretUnusedSecondsMin
  if (unusedSeconds !== undefined && unusedSeconds < least) {
    throw usageError(
      `--end-when-unused: "${unused}" is too short; ${least / 60}m are the least, because the last use is known to about ` +
        'half a minute.',
    )
  }
  if (unusedSeconds !== undefined && unusedSeconds >= overlapSeconds) {
    throw usageError(
      `--end-when-unused: "${unused}" must be shorter than the overlap (${overlap}). Write a longer --overlap.`,
    )
  }
  return { overlapSeconds, unusedSeconds }
}

function secondsOf(option: string, text: string): number {
  const seconds = readDuration(text)
  if (seconds === undefined)
    throw usageError(`--${option}: "${text}" is not a time. Write it like 30m, 2h or 7d.`)
  return seconds
}

type Replaced = SecretRotation['replaced']

function fieldsOf(replaced: Replaced, { unusedSeconds }: Times): readonly Record<string, unknown>[] {
  return replaced.map(({ secretId, endsAt, lastUsedAt }) => ({
    secret_id: secretId,
    expires_at: optionalMoment(endsAt),
    ends_when_unused_seconds: unusedSeconds ?? null,
    last_used_at: optionalMoment(lastUsedAt),
  }))
}

function sentences(replaced: Replaced, { unusedSeconds, overlapSeconds }: Times): string {
  if (replaced.length === 0) return '\nThere was no valid secret to replace.\n'
  const lines = replaced.map(({ secretId, endsAt, lastUsedAt }) => {
    const end = overlapSeconds === 0 ? 'is not valid any more' : `ends ${shownMoment(endsAt)}`
    return `${secretId} ${end}; last used: ${shownMoment(lastUsedAt, 'never')}\n`
  })
  const sooner =
    unusedSeconds === undefined
      ? ''
      : ` Each ends sooner when it is not used for ${shownTime(unusedSeconds)}.`
  return `\n${lines.join('')}${sooner === '' ? '' : `${sooner.trim()}\n`}`
}

function shownTime(seconds: number): string {
  if (seconds % 86_400 === 0) return `${seconds / 86_400}d`
  if (seconds % 3_600 === 0) return `${seconds / 3_600}h`
  return `${Math.round(seconds / 60)}m`
}

/** A caller that asks seldom would come back to a secret that has ended. */
function warn(replaced: Replaced, { unusedSeconds }: Times, now: number): void {
  if (unusedSeconds === undefined) return
  for (const { secretId, lastUsedAt } of replaced) {
    if (lastUsedAt === undefined || now - lastUsedAt < unusedSeconds) continue
    note(
      `${secretId} was last used ${shownMoment(lastUsedAt)}, which is longer ago than ` +
        `${shownTime(unusedSeconds)}: a ` +
        'caller that asks so rarely loses it before it comes back.',
    )
  }
}

async function tell(
  { database, databaseSeconds }: Connection,
  clientId: string,
  times: Times,
  asJson: boolean,
): Promise<void> {
  const now = await databaseSeconds()
  const { replaced } = await planRotation(database.prisma, clientId, times.overlapSeconds, now)
  if (asJson) {
    print(`${json({ client_id: clientId, replaced: fieldsOf(replaced, times), status: 'would rotate' })}\n`)
  } else print(`${clientId} would get a new secret. Nothing was changed.\n${sentences(replaced, times)}`)
  warn(replaced, times, now)
}
