import type { BelievedKeys } from '../../keys/believed.ts'
import { revokeKey } from '../../keys/revocation.ts'
import { leadSeconds } from '../../keys/schedule.ts'
import { type ScheduleSettings, signingKeyAt } from '../../keys/state.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { confirm } from '../terminal/confirm.ts'
import { withDatabase } from '../terminal/connect.ts'
import { keyContext, keysToShow } from '../terminal/key-context.ts'
import { unverifiedLine } from '../terminal/key-problems.ts'
import { jsonLine, note, print, shownMoment } from '../terminal/output.ts'

export const keysRevoke = defineCommand({
  path: ['keys', 'revoke'],
  summary: 'revoke a key in an emergency: when the command returns, the key no longer signs',
  details:
    'When the command returns, the key signs on no replica. Within three seconds it is removed from the JWKS of every\n' +
    'replica that reaches the database. Another key signs. Relying services accept tokens of the revoked key until they\n' +
    'fetch the JWKS again. The command and the record show when the last of them stops. From then on all its tokens are\n' +
    'refused, even those that have not expired. You cannot undo this. To replace a key that did not leak, use "keys\n' +
    'rotate".',
  positionals: [{ name: 'KID', description: 'the id of the key, as "keys list" shows it' }],
  options: { yes: { type: 'boolean', description: 'do not ask' }, ...jsonOption },
  examples: [
    [
      'bin/mintmark keys revoke fX3kq0ZbY1mO7cW2nR8sT4uV6wA9dE5gH0iJ3kL2mNo',
      'asks for confirmation; refuses if there is no terminal',
    ],
    ['bin/mintmark keys revoke fX3kq0ZbY1mO7cW2nR8sT4uV6wA9dE5gH0iJ3kL2mNo --yes', 'does not ask'],
  ],
  async run(options, [kid = '']) {
    await withDatabase(async (connection) => {
      const { config, signal } = connection
      const context = keyContext(connection)
      const known = await keysToShow(connection)
      const key = [...known.keys, ...known.others].find((each) => each.kid === kid)
      const question = `Revoke ${kid} and all its tokens? You cannot undo this. Type the id to continue: `
      const asks = !options.yes && key !== undefined && key.revokedAt === undefined
      if (asks) await confirm(question, kid, signal)
      const now = context.clock.nowSeconds()
      const before = signingNow(known, config.schedule, now, key?.algorithm)
      const { revoked, restored, refusedFrom, successor } = await revokeKey(context, kid)
      const signed = revoked && before?.kid === kid
      const after = await keysToShow(connection)
      const signer = signingNow(after, config.schedule, now, key?.algorithm)
      if (options.json) {
        const fields = {
          kid,
          status: 'revoked',
          changed: revoked || restored,
          signing: signer?.kid ?? null,
          next: successor?.kid ?? null,
          next_signs_from: optionalMoment(successor?.moments.signsFrom),
          relying_services_refuse_from: optionalMoment(refusedFrom),
        }
        print(`${jsonLine(fields)}\n`)
        return
      }
      const done = revoked
        ? 'is revoked. It no longer signs, and within three seconds it is removed from the JWKS.'
        : restored
          ? 'was already revoked; the revocation was removed from its row and is restored now.'
          : 'was already revoked.'
      const signs = signer === undefined ? 'No key signs now.' : `${signer.kid} signs now.`
      const next =
        successor === undefined || successor.kid === signer?.kid
          ? ''
          : ` ${successor.kid} takes over at ${shownMoment(successor.moments.signsFrom)}.`
      if (revoked && signed && signer === undefined) {
        note(
          'A service that has the key-encryption key lets the next key take over within seconds. With the ' +
            'key-encryption key at hand, this command does it at once.',
        )
      }
      const unverified = unverifiedLine(after)
      if (unverified !== undefined && signer !== undefined) note(unverified)
      const lead = leadSeconds(config.schedule)
      print(
        `${kid} ${done} ${signs}${next}\n` +
          `Relying services that obey the JWKS max-age refuse its tokens from ${shownMoment(refusedFrom)} on ` +
          `(${lead} seconds after the revocation).\n`,
      )
      // A key that took over at once has a `publishedAt` that is earlier by the skew, for clocks that are
      // behind.
      const seenFrom = (signer?.publishedAt ?? 0) + lead + config.schedule.clockSkewSeconds
      if (signer !== undefined && signed && now < seenFrom) {
        const seen = shownMoment(seenFrom)
        note(`Until ${seen} relying services that have not fetched ${signer.kid} may refuse the new tokens.`)
      }
    })
  },
})

function signingNow(
  { keys }: BelievedKeys,
  schedule: ScheduleSettings,
  now: number,
  algorithm: string | undefined,
) {
  const alike = keys.filter((key) => key.algorithm === algorithm)
  return signingKeyAt(alike, schedule, now)
}
