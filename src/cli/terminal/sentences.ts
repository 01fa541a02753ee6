import type {
  AdministrationError,
  AdministrationErrorCode,
  AdministrationErrorFields,
  AdministrationErrorKind,
} from '../../errors.ts'
import { exitCodes } from './command.ts'
import { mistakeList } from './mistakes.ts'

/** What an operator at the command line is told of each code: what happened, and then what to do. */
export const sentences: {
  readonly [Code in AdministrationErrorCode]: (fields: AdministrationErrorFields[Code]) => string
} = {
  registration_refused: ({ file, mistakes }) => mistakeList(mistakes, file),
  file_unreadable: ({ path, problem }) => `${path}: cannot read it: ${problem}`,
  file_too_large: ({ path, bytes, limit }) =>
    `${path}: has ${bytes} bytes; at most ${limit} are read. Split it: clients that a file does not name are left alone.`,
  file_not_text: ({ path }) => `${path}: is not UTF-8 text. Save it as UTF-8.`,

  client_not_found({ clientId, nearest }) {
    const hint = nearest === undefined ? '' : ` Did you mean "${nearest}"?`
    return `There is no client ${JSON.stringify(clientId)}.${hint} "bin/mintmark clients list" shows them all.`
  },
  client_exists: ({ clientId }) =>
    `There is already a client ${clientId}. "bin/mintmark clients show ${clientId}" shows it; ` +
    `"bin/mintmark clients secrets add ${clientId}" gives it another secret.`,
  client_deleted: ({ clientId }) =>
    `The client ${clientId} was deleted, which cannot be undone. Its id is never used again; create one with another.`,
  client_vanished: ({ clientId }) =>
    `The client ${clientId} vanished while this ran. Nothing was changed; run it again.`,
  secret_not_found: ({ clientId, secretId }) =>
    `The client ${clientId} has no secret ${JSON.stringify(secretId)}. ` +
    `"bin/mintmark clients secrets list ${clientId}" shows those it has.`,
  secrets_too_many: ({ clientId, count }) =>
    `The client ${clientId} has ${count} valid secrets, which is the most there can be. Revoke one first: ` +
    `"bin/mintmark clients secrets list ${clientId}" shows when each was last used.`,
  registry_busy: ({ waitedSeconds }) =>
    `Another command has been changing the registry for ${waitedSeconds} seconds. Nothing was changed; try again ` +
    'when it is done.',

  key_not_found: ({ kid }) => `There is no key ${kid}. "bin/mintmark keys list" shows them all.`,
  key_made_meanwhile: ({ algorithm }) =>
    `Another process made the next ${algorithm} key just now, and this changed nothing. Look at ` +
    '"bin/mintmark keys list", and run the command again if it is still needed.',
  clock_disagrees: ({ offSeconds, toleranceSeconds }) =>
    `The clock of this machine is ${Math.abs(offSeconds).toFixed(1)} s ` +
    `${offSeconds < 0 ? 'behind' : 'ahead of'} the database's; ${toleranceSeconds} s are allowed, half of ` +
    'MINTMARK_CLOCK_SKEW_SECONDS. Set it right and try again; no key was made or changed.',

  key_encryption_key_unset: () =>
    'MINTMARK_KEY_ENCRYPTION_KEY: must be set when DATABASE_URL is. It seals the signing keys in the database: ' +
    'make one with "openssl rand -base64 32" and keep it outside the database.',
  key_encryption_key_differs({ kid, keyEncryptionKeyId, atHand, source }) {
    const where = source === 'configuration' ? 'MINTMARK_KEY_ENCRYPTION_KEY' : source
    const which = kid === undefined ? 'the newest signing key' : `the signing key ${kid}`
    return (
      `${where}: ${which} is sealed with key-encryption key ${keyEncryptionKeyId}, but this is ` +
      `${atHand.join(' and ')}. Provide the right one; no key was made${kid === undefined ? '' : ' or deleted'}.`
    )
  },
  signing_key_damaged: ({ kid }) =>
    `The signing key ${kid} does not open: its row in signing_key was damaged. Restore it from a backup; no key ` +
    'was made or deleted.',
  key_file_lost: ({ path }) =>
    `${path}: is missing, and the database has signing keys that only its key opens. Restore the file from a ` +
    'backup; nothing was generated or deleted.',
  key_file_missing: ({ path }) => `${path}: is missing. Restore it from a backup; nothing was changed.`,
  key_file_vanished: ({ path }) => `${path}: was removed while this process started. Start again.`,
  key_file_uncreatable: ({ path, problem }) => `${path}: cannot create it: ${problem}`,
  key_file_unreadable: ({ path, problem }) => `${path}: cannot read it: ${problem}`,
  key_file_malformed: ({ path, isEmpty }) =>
    `${path}: holds ${isEmpty ? 'nothing' : 'something else than a key (32 bytes in base64)'}. Restore it from a ` +
    'backup; nothing was generated or deleted.',
}

export function sentenceOf({ code, fields }: AdministrationError): string {
  return (sentences[code] as (fields: unknown) => string)(fields)
}

const exitCodeOfKind: Readonly<Record<AdministrationErrorKind, number>> = {
  invalid: exitCodes.failed,
  not_found: exitCodes.notFound,
  conflict: exitCodes.failed,
  busy: exitCodes.failed,
  setup: exitCodes.failed,
}

export function exitCodeOf({ kind }: AdministrationError): number {
  return exitCodeOfKind[kind]
}
