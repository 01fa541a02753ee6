import { type Abandonment, abandonKeys, planAbandonment } from '../../keys/abandonment.ts'
import { leadSeconds } from '../../keys/schedule.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { availableKeyEncryptionKeys, otherKeyEncryptionKeys } from '../../process/key-encryption-keys.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { confirm } from '../terminal/confirm.ts'
import { withDatabase } from '../terminal/connect.ts'
import { keyContext } from '../terminal/key-context.ts'
import { counted, json, note, print, shownMoment } from '../terminal/output.ts'
import { terminal } from '../terminal/terminal.ts'

export const keysAbandon = defineCommand({
  path: ['keys', 'abandon'],
  summary: 'start again with another key-encryption key, because the old one is lost for good',
  details:
    'DANGER. Every signing key that the lost key-encryption key sealed ends at once, with all its tokens, and you cannot\n' +
    'undo this. New keys under the key-encryption key at hand sign from then on. The sealed keys stay in the database.\n' +
    'Clients keep their secrets; each costs one argon2 hash at its next use. Before you run this, look for the\n' +
    'key-encryption key in backups, in your secret store and in the environment of processes that still run. With\n' +
    'DATABASE_URL, first make another one with "openssl rand -base64 32" and set MINTMARK_KEY_ENCRYPTION_KEY. The embedded\n' +
    'database gets a new file. Afterwards restart every process.',
  options: {
    plan: { type: 'boolean', description: 'only say what would end' },
    yes: { type: 'boolean', description: 'do not ask; for scripts' },
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark keys abandon --plan', 'what would end; changes nothing'],
    ['bin/mintmark keys abandon', 'says what breaks, and asks you to type how many keys end'],
  ],
  async run(options) {
    await withDatabase(async (connection) => {
      const { config, server, signal } = connection
      const isMade = availableKeyEncryptionKeys(config, server) === undefined
      // With DATABASE_URL there has to be one.
      const source = () => otherKeyEncryptionKeys(config, server)
      const atHand = availableKeyEncryptionKeys(config, server) ?? (server.embedded ? [] : await source())
      const context = { ...keyContext(connection), keyEncryptionKeys: source }
      const plan = await planAbandonment(context, atHand)
      const word = `abandon ${plan.abandoned.length}`
      if (!options.plan && !options.yes && !terminal().stdin.isTTY) {
        throw usageError(
          `this ends ${counted(plan.abandoned.length, 'signing key')} and all ${plan.abandoned.length === 1 ? 'its' : 'their'} ` +
            'tokens, and there is no terminal to ask at. See what it breaks with --plan, then run it with --yes.',
        )
      }
      if (!options.json || !options.yes) note(breakage(plan, leadSeconds(config.schedule), isMade))
      if (options.plan) {
        if (options.json) print(`${json({ plan: true, ...fieldsOf(plan) })}\n`)
        else note('This is only a plan. Nothing was changed.')
        return
      }
      if (!options.yes) await confirm(`Type "${word}" to continue: `, word, signal)
      const done = await abandonKeys(context)
      print(options.json ? `${json(fieldsOf(done))}\n` : shown(done))
      // The seal is under the lost key too, and only a person can say what was registered.
      if (connection.sealing !== undefined) {
        note('The registry must be sealed again before processes start: run "bin/mintmark registry seal".')
      }
    })
  },
})

function breakage(plan: Abandonment, lead: number, isMade: boolean): string {
  const { abandoned, lostKeyIds, atHandIds } = plan
  const keys = abandoned.map(({ kid, algorithm }) => `  ${kid} (${algorithm})\n`).join('')
  const next = isMade
    ? 'A new key-encryption key is created.'
    : `Key-encryption key ${atHandIds.join(' and ')} takes its place.`
  return (
    `DANGER: key-encryption key ${lostKeyIds.join(' and ')} is abandoned. ${next}\n` +
    `${counted(abandoned.length, 'signing key')} end${abandoned.length === 1 ? 's' : ''}, and you cannot undo this:\n${keys}` +
    `Relying services refuse all their tokens within ${lead} seconds, also those that have not expired. Clients have to\n` +
    'get new tokens. Relying services that have not fetched the new keys refuse these until they fetch the JWKS again.\n' +
    'Every process that runs with the lost key must be restarted. If one does, the key is still in its environment.\n' +
    'Each client secret costs one argon2 hash at its next use. Nobody is locked out.'
  )
}

function fieldsOf({ abandoned, lostKeyIds, atHandIds, made, refusedFrom }: Abandonment) {
  return {
    lost_key_encryption_key_ids: lostKeyIds,
    key_encryption_key_ids: atHandIds,
    abandoned: abandoned.map(({ kid, algorithm, keyEncryptionKeyId }) => ({
      kid,
      algorithm,
      key_encryption_key_id: keyEncryptionKeyId,
    })),
    made: made.map(({ kid, algorithm }) => ({ kid, algorithm })),
    relying_services_refuse_from: optionalMoment(refusedFrom),
  }
}

function shown({ abandoned, made, refusedFrom }: Abandonment): string {
  const signs = made.map(({ kid, algorithm }) => `${kid} signs ${algorithm} tokens now.\n`).join('')
  const waits = made.length > 0 ? '' : 'The service creates the next keys when it starts.\n'
  return (
    `${counted(abandoned.length, 'signing key')} ended. ${signs}${waits}` +
    `Relying services that obey the JWKS max-age refuse the old tokens from ${shownMoment(refusedFrom)} on.\n` +
    'Now restart every process, with the key-encryption key of this command.\n'
  )
}
