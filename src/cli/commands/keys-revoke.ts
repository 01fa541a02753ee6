import type { Queryable } from '../../database/open.ts'
import { revokeKey } from '../../keys/revocation.ts'
import { leadSeconds } from '../../keys/schedule.ts'
import { type ScheduleSettings, signingKeyAt } from '../../keys/state.ts'
import { listKeys } from '../../keys/store.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { confirm } from '../terminal/confirm.ts'
import { withDatabase } from '../terminal/connect.ts'
import { keyContext } from '../terminal/key-context.ts'
import { jsonLine, note, print, shownMoment } from '../terminal/output.ts'
import { terminal } from '../terminal/terminal.ts'

export const keysRevoke = defineCommand({
  path: ['keys', 'revoke'],
  summary: 'revoke a key in an emergency: when the command returns, the key no longer signs',
  details:
    'When the command returns, the key signs on no replica. Within three seconds it is removed from the JWKS of every\n' +
    'replica that reaches the database. Another key signs. Relying services accept tokens of the revoked key until\n' +
    'they fetch the JWKS again. The command and the record show when the last of them stops. From then on all its\n' +
    'tokens are refused, even those that have not expired. You cannot undo this. To replace a key that did not leak,\n' +
    'use "keys rotate".',
  positionals: [{ name: 'KID', description: 'the id of the key, as "keys list" shows it' }],
  options: { yes: { type: 'boolean', description: 'do not ask' }, ...jsonOption },
  examples: [
    [
      'bin/mintmark keys revoke fX3kq0ZbY1mO7cW2nR8sT4uV6wA9dE5gH0iJ3kL2mNo',
      'asks for confirmation in a terminal',
    ],
    ['bin/mintmark keys revoke fX3kq0ZbY1mO7cW2nR8sT4uV6wA9dE5gH0iJ3kL2mNo --yes', 'does not ask'],
  ],
  async run(options, [kid = '']) {
    await withDatabase(async (connection) => {
      const { config, database, signal } = connection
      const context = keyContext(connection)
      const key = (await listKeys(database.prisma)).find((each) => each.kid === kid)
      const question = `Revoke ${kid} and all its tokens? You cannot undo this. Type the id to continue: `
      const asks = !options.yes && key !== undefined && key.revokedAt === undefined && terminal().stdin.isTTY
      if (asks && !(await confirm(question, kid, signal))) {
        note('Nothing was changed.')
        return
      }
      const now = context.clock.nowSeconds()
      const before = await signingNow(database.prisma, config.schedule, now, key?.algorithm)
      const { revoked, refusedFrom, successor } = await revokeKey(context, kid)
      const signed = revoked && before?.kid === kid
      const signer = await signingNow(database.prisma, config.schedule, now, key?.algorithm)
      if (options.json) {
        const fields = {
          kid,
          status: 'revoked',
          changed: revoked,
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

async function signingNow(
  database: Queryable,
  schedule: ScheduleSettings,
  now: number,
  algorithm: string | undefined,
) {
  const keys = (await listKeys(database)).filter((key) => key.algorithm === algorithm)
  return signingKeyAt(keys, schedule, now)
}
