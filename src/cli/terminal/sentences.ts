import type { Mistake } from '../../administration/mistake.ts'
import {
  AdministrationError,
  type AdministrationErrorCode,
  type AdministrationErrorFields,
} from '../../errors.ts'
import { explain } from '../../process/explain.ts'
import { mistakeList } from './mistakes.ts'

/** For an operator who has lost the key-encryption key. */
const ifLost =
  'If it is lost for good, "bin/mintmark keys abandon" shows what breaks, and starts again with another key.'

/** What an operator at the command line is told of each code: what happened, and then what to do. */
export const sentences: {
  readonly [Code in AdministrationErrorCode]: (fields: AdministrationErrorFields[Code]) => string
} = {
  registration_refused: ({ file, mistakes }) => mistakeList(mistakes as readonly Mistake[], file),
  file_unreadable: ({ path, problem }) => `${path}: cannot read it: ${problem}.`,
  file_too_large: ({ path, limit }) =>
    `${path}: has more than ${limit} bytes, which is the most that is read. Split it: a file does not change ` +
    `clients that it does not name.`,
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
    `The client ${clientId} was removed while this command ran. Nothing was changed. Run the command again.`,
  secret_not_found: ({ clientId, secretId }) =>
    `The client ${clientId} has no secret ${JSON.stringify(secretId)}. ` +
    `"bin/mintmark clients secrets list ${clientId}" shows those it has.`,
  secret_replaced_meanwhile: ({ clientId, secretId }) =>
    `Another command replaced the secrets of ${clientId} while this one ran, by ${secretId}. Nothing was changed. If you ` +
    'want one more, run it again: then the other new one gets an end, too.',
  secrets_too_many: ({ clientId, count }) =>
    `The client ${clientId} has ${count} valid secrets, and it cannot have more. Revoke one first: ` +
    `"bin/mintmark clients secrets list ${clientId}" shows when each was last used.`,
  leaked_secrets_too_many: ({ count, limit }) =>
    `There are ${count} secrets, and one command takes ${limit}. Split the file. Nothing was changed.`,
  client_key_not_found: ({ clientId, key }) =>
    `The client ${clientId} has no key ${JSON.stringify(key)}. ` +
    `"bin/mintmark clients keys list ${clientId}" shows those it has.`,
  client_key_exists: ({ clientId, thumbprint, isRevoked }) =>
    isRevoked
      ? `The key ${thumbprint} of the client ${clientId} was revoked, which cannot be undone. Make a new key.`
      : `The client ${clientId} has the key ${thumbprint} already. ` +
        `"bin/mintmark clients keys list ${clientId}" shows it with its alg and kid. To change these, make a new key.`,
  client_key_named_alike: ({ clientId, kid }) =>
    `The client ${clientId} has another valid key with the kid ${JSON.stringify(kid)}. Give the new one another kid.`,
  client_fapi_no_secret: ({ clientId }) =>
    `${clientId} has fapi: true, so it has no secret. Give it a key ("bin/mintmark clients keys add ${clientId} FILE"), or set it ` +
    `back: bin/mintmark clients update ${clientId} --fapi no`,
  client_fapi_key: ({ clientId, thumbprint }) =>
    `${clientId} has fapi: true, and the key ${thumbprint} is for RS256. Use --alg PS256, or another key: P-256 or Ed25519`,
  key_is_private: ({ path }) =>
    `${path}: has a private key. Register its public half only: "openssl pkey -in ${path} -pubout". The private key ` +
    'stays with the client. If anybody else has seen this copy, make a new key.',
  key_unreadable: ({ path }) =>
    `${path}: has no public key that can be read. It must be a JSON Web Key, a set of them under "keys", or PEM that ` +
    'begins with "-----BEGIN PUBLIC KEY-----".',
  client_keys_too_many: ({ clientId, count, limit }) =>
    `The client ${clientId} has ${count} valid keys, and ${limit} are the most that it can have. Revoke one first: ` +
    `"bin/mintmark clients keys list ${clientId}" shows when each was last used.`,
  resource_not_found({ audience, nearest }) {
    const hint = nearest === undefined ? '' : ` Did you mean "${nearest}"?`
    return `There is no resource ${JSON.stringify(audience)}.${hint} "bin/mintmark resources list" shows them all.`
  },
  resource_exists: ({ audience }) =>
    `There is already a resource ${audience}. "bin/mintmark resources update ${audience}" changes it.`,
  resource_in_use({ audience, holders, count, rules }) {
    const more = count > holders.length ? ` and ${count - holders.length} more` : ''
    const clients = count === 0 ? [] : [`clients have access to it: ${holders.join(', ')}${more}`]
    const given = rules.length === 0 ? [] : [`rules give access to it: ${rules.join(', ')}`]
    const away =
      count === 0
        ? ''
        : ` Remove that access from each client first: "bin/mintmark clients access remove CLIENT ${audience}".`
    const removal =
      rules.length === 0
        ? ''
        : ' Apply a seed file in which no rule names it, or remove the rules: "bin/mintmark trust remove RULE".'
    return `${audience}: ${[...clients, ...given].join('; ')}. Nothing was changed.${away}${removal}`
  },
  issuer_not_found({ issuer, nearest }) {
    const hint = nearest === undefined ? '' : ` Did you mean "${nearest}"?`
    return `The issuer ${JSON.stringify(issuer)} is not trusted.${hint} "bin/mintmark trust list" shows them all.`
  },
  rule_not_found({ rule, nearest }) {
    const hint = nearest === undefined ? '' : ` Did you mean "${nearest}"?`
    return `There is no rule ${JSON.stringify(rule)}.${hint} "bin/mintmark trust list" shows them all.`
  },
  rule_exists: ({ rule, issuer }) =>
    `There is already a rule ${rule}, of ${issuer}. Choose another name, or remove it first: "bin/mintmark trust remove ${rule}".`,
  registry_busy: ({ waitedSeconds }) =>
    `Another command, or another session of the database, has kept this change waiting for ${waitedSeconds} seconds. ` +
    'Nothing was changed. Try again when the other one has finished.',

  registration_unsealed: ({ subject, id }) =>
    `The ${subject} ${JSON.stringify(id)} was not registered by a holder of the key-encryption key: somebody wrote its ` +
    'row by hand. Nothing was changed. If it is right, "bin/mintmark registry seal" shows what differs, and ' +
    'seals it after you confirm.',
  registry_seal_key_unset: () =>
    'MINTMARK_KEY_ENCRYPTION_KEY: must be set to change a sealed registry (MINTMARK_SEALED_REGISTRY=yes). A ' +
    'change without it would have no effect. Nothing was changed.',
  registry_seal_key_differs: ({ keyEncryptionKeyId, atHand }) =>
    `MINTMARK_KEY_ENCRYPTION_KEY: the registry is sealed with key-encryption key ${keyEncryptionKeyId}, but you provided ` +
    `${atHand.join(' and ')}. Provide the right key-encryption key. Nothing was changed. If it is lost for good, ` +
    'run "bin/mintmark keys abandon" and then "bin/mintmark registry seal".',
  registry_seal_missing: () =>
    'MINTMARK_SEALED_REGISTRY is "yes", and nobody has sealed the registry yet: every client would be refused. Run ' +
    '"bin/mintmark registry seal" first. If it was sealed before, somebody removed the seal.',
  registry_seal_damaged: () =>
    'The seal of the registry (tables sealed_registry_head and sealed_registry_node) was not written by a holder of the ' +
    'key-encryption key. Nothing was changed. Restore both tables from a backup, or check the registry and seal ' +
    'it again: "bin/mintmark registry seal".',
  registry_seal_older: ({ number, recorded }) =>
    `The seal of the registry has number ${number}, but the ledger knows number ${recorded}: ` +
    'somebody put back an older registry. Nothing was changed. Restore the registry and the ledger from the ' +
    'same backup, or check the registry and seal it again: "bin/mintmark registry seal".',
  registry_changed_meanwhile: () =>
    'Somebody changed the registry while you looked at it. Nothing was changed. Run the command again.',

  key_not_found: ({ kid }) => `There is no key ${kid}. "bin/mintmark keys list" shows them all.`,
  key_made_meanwhile: ({ algorithm }) =>
    `Another process created the next ${algorithm} key just now. Nothing was changed. Look at ` +
    '"bin/mintmark keys list", and run the command again if it is still needed.',
  clock_disagrees: ({ offSeconds, toleranceSeconds }) =>
    `The clock of this machine is ${Math.abs(offSeconds).toFixed(1)} s ` +
    `${offSeconds < 0 ? 'behind' : 'ahead of'} the database's; ${toleranceSeconds} s are allowed, half of ` +
    'MINTMARK_CLOCK_SKEW_SECONDS. Set it right and try again. No key was created or changed.',

  key_encryption_key_unset: () =>
    'MINTMARK_KEY_ENCRYPTION_KEY: must be set when DATABASE_URL is. It seals the signing keys in the database: ' +
    'make one with "openssl rand -base64 32" and keep it outside the database.',
  key_encryption_key_differs({ kid, keyEncryptionKeyId, atHand, source }) {
    const where = source === 'configuration' ? 'MINTMARK_KEY_ENCRYPTION_KEY' : source
    const which = kid === undefined ? 'the newest signing key' : `the signing key ${kid}`
    return (
      `${where}: ${which} is sealed with key-encryption key ${keyEncryptionKeyId}, but you provided ` +
      `${atHand.join(' and ')}. Provide the right key-encryption key. ${ifLost} No key was created${kid === undefined ? '' : ' or deleted'}.`
    )
  },
  key_encryption_key_not_lost: ({ atHand }) =>
    `Every signing key opens with the key-encryption key at hand (${atHand.join(' and ')}), so nothing is lost. Nothing ` +
    'was changed. "bin/mintmark keys revoke KID" ends one key.',
  signing_key_damaged: ({ kid }) =>
    `The signing key ${kid} does not open: its row in signing_key is damaged. Restore the row from a backup. No key ` +
    'was created or deleted.',
  signing_key_altered: ({ kid }) =>
    `The row of the signing key ${kid} in the table signing_key was changed by somebody without the key-encryption ` +
    'key. Restore the row from a backup, or revoke the key with "bin/mintmark keys revoke". No key was created or ' +
    'deleted.',
  key_manifest_damaged: () =>
    'The manifest of the signing keys (table signing_key_manifest) was not written by a holder of the key-encryption ' +
    'key. Restore it from a backup. No key was created or deleted.',
  key_manifest_older: ({ number, recorded }) =>
    `The manifest of the signing keys has number ${number}, and the ledger has a record of number ${recorded}: the keys ` +
    'are older than the ledger. Restore signing_key and signing_key_manifest from the same backup as the ledger, or a ' +
    'later one. No key was created or deleted.',
  key_manifest_differs: ({ number }) =>
    `The manifest of the signing keys has number ${number}, and the ledger has a record of another manifest with this ` +
    'number: the keys and the ledger come from two different databases. Restore signing_key, ' +
    'signing_key_manifest and the ' +
    'ledger from the same backup. No key was created or deleted.',
  key_file_lost: ({ path }) =>
    `${path}: is missing, and the database has signing keys that only its key opens. Restore the file from a ` +
    `backup. ${ifLost} Nothing was generated or deleted.`,
  key_file_missing: ({ path }) =>
    `${path}: is missing. Restore it from a backup. ${ifLost} Nothing was changed.`,
  key_file_vanished: ({ path }) => `${path}: was removed while this process started. Start again.`,
  key_file_uncreatable: ({ path, problem }) => `${path}: cannot create it: ${problem}.`,
  key_file_unreadable: ({ path, problem }) => `${path}: cannot read it: ${problem}.`,
  key_file_malformed: ({ path, isEmpty }) =>
    `${path}: ${isEmpty ? 'is empty' : 'does not contain a key (32 bytes in base64)'}. Restore it from a ` +
    `backup. If there is none, move the file away first. ${ifLost} Nothing was generated or deleted.`,
}

/** What the command line says of an error: the sentence of its code, or the reason that it brings itself. */
export function messageOf(error: unknown): string {
  if (!(error instanceof AdministrationError)) return explain(error).message
  const { code, fields }: AdministrationError = error
  return (sentences[code] as (fields: unknown) => string)(fields)
}
