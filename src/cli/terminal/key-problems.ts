import type { BelievedKeys } from '../../keys/believed.ts'
import type { KeyProblem, RowProblem } from '../../keys/manifest.ts'
import { plainText } from '../../lib/plain-text.ts'
import { messageOf } from './sentences.ts'

/** What an operator is told of rows of signing_key that cannot be believed: what happened, then what to do. */

/** The state of such a row in a list. */
export const problemStates: { readonly [Problem in RowProblem]: string } = {
  key_unknown: 'unvouched',
  key_altered: 'altered',
  key_revocation_undone: 'revocation undone',
  key_missing: 'missing',
}

const sentences: { readonly [Problem in RowProblem]: (kid: string) => string } = {
  key_unknown: (kid) =>
    `${kid}: this row was not made by a holder of the key-encryption key. It is neither published nor used. ` +
    `Find out who can write ` +
    'the database, then delete the row.',
  key_altered: (kid) =>
    `${kid}: the row was changed by somebody without the key-encryption key. Running processes go on with the ` +
    `key as it was. ` +
    'Until the key has ended, no new process starts. Restore the row from a backup, or revoke the key with ' +
    `"bin/mintmark keys revoke ${kid}".`,
  key_revocation_undone: (kid) =>
    `${kid}: somebody removed the revocation from the row. The key stays revoked. "bin/mintmark keys revoke ${kid}" ` +
    'writes it back.',
  key_missing: (kid) =>
    `${kid}: the row was deleted. The key is not published and signs nothing. Restore the row from a backup. If nothing ` +
    'signs, "bin/mintmark keys rotate --now" makes a key that signs at once.',
}

const shownMax = 20

/** @param problems each is named, up to a number that a person reads. */
export function problemLines(problems: readonly KeyProblem[]): string[] {
  const lines = problems.slice(0, shownMax).map(({ kid, problem }) => sentences[problem](plainText(kid)))
  return problems.length > shownMax ? [...lines, `… and ${problems.length - shownMax} more`] : lines
}

/** Why the rows that are shown were not verified; undefined if they were. */
export function unverifiedLine({ reason }: Pick<BelievedKeys, 'reason'>): string | undefined {
  if (reason === undefined) return undefined
  const because =
    reason === 'no key-encryption key'
      ? 'The key-encryption key is not at hand'
      : reason === 'no manifest'
        ? 'There is no manifest of the keys yet; a service writes it when it starts'
        : messageOf(reason)
  return (
    `${because}${because.endsWith('.') ? '' : '.'} So these rows are shown as they are in the database, ` +
    `unverified.`
  )
}
