import { keyState } from '../keys/schedule.ts'
import { listKeys } from '../keys/store.ts'
import { optionalMoment } from '../moment.ts'
import { defineCommand, jsonOption } from './command.ts'
import { withDatabase } from './connect.ts'
import { json, note, print, shownMoment } from './output.ts'
import { Table } from './table.ts'

export const keysList = defineCommand({
  path: ['keys', 'list'],
  summary: 'list the signing keys and what state each is in',
  details:
    'waiting: not in the JWKS yet. published: in the JWKS, not signing yet. signing: signs tokens. retiring: signs\n' +
    'no more, in the JWKS until its last token has expired. removed and revoked: neither.',
  options: { ...jsonOption },
  examples: [['bin/mintmark keys list', 'which key signs now']],
  async run(options) {
    await withDatabase(async ({ database, clock }) => {
      const now = clock.nowSeconds()
      const keys = (await listKeys(database.prisma)).map((key) => ({ ...key, state: keyState(key, now) }))
      if (options.json) {
        const shown = keys.map((key) => ({
          kid: key.kid,
          algorithm: key.algorithm,
          generation: key.generation,
          state: key.state,
          published_at: optionalMoment(key.publishedAt),
          signs_from: optionalMoment(key.signsFrom),
          signs_until: optionalMoment(key.signsUntil),
          published_until: optionalMoment(key.publishedUntil),
          revoked_at: optionalMoment(key.revokedAt),
          key_encryption_key_id: key.keyEncryptionKeyId,
        }))
        print(`${json({ keys: shown })}\n`)
        return
      }
      if (keys.length === 0) {
        note('No signing keys yet. The service makes the first one when it starts.')
        return
      }
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
        shownMoment(key.signsUntil),
        shownMoment(key.revokedAt ?? key.publishedUntil),
      ])
      print(new Table(titles.map((title) => ({ title }))).render(rows))
    })
  },
})
