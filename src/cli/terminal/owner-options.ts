import { clientKinds } from '../../administration/definition.ts'
import { type OptionDefinitions, usageError } from './command.ts'

/** Whom a client belongs to and what it is for, as options of a command. */
export const ownerOptions = {
  owner: { type: 'string', value: 'WHO', description: 'who answers for it: a team or a person' },
  purpose: { type: 'string', value: 'TEXT', description: 'what it is for' },
  kind: { type: 'string', value: 'KIND', description: `what runs: ${clientKinds.join(', ')}` },
} as const satisfies OptionDefinitions

/** For a client that exists. */
export const noOwnerOptions = {
  'no-owner': { type: 'boolean', description: 'nobody answers for it' },
  'no-purpose': { type: 'boolean', description: 'nothing is said of what it is for' },
  'no-kind': { type: 'boolean', description: 'nothing is said of what runs' },
} as const satisfies OptionDefinitions

export interface OwnerOptions {
  readonly owner: string | undefined
  readonly purpose: string | undefined
  readonly kind: string | undefined
}

/** What each of them is in a file, and on the command line. */
export const optionOfOwnerField = { owner: '--owner', purpose: '--purpose', kind: '--kind' } as const

/** What is said, in the words of a file. */
export function ownerWords({ owner, purpose, kind }: OwnerOptions): Readonly<Record<string, string>> {
  return {
    ...(owner === undefined ? {} : { owner }),
    ...(purpose === undefined ? {} : { purpose }),
    ...(kind === undefined ? {} : { kind }),
  }
}

/** The fields to remove. */
export function removedOwnerWords(
  options: OwnerOptions & Readonly<Record<keyof typeof noOwnerOptions, boolean>>,
): readonly string[] {
  const fields = ['owner', 'purpose', 'kind'] as const
  const removed = fields.filter((field) => options[`no-${field}`])
  for (const field of removed) {
    if (options[field] !== undefined) throw usageError(`--no-${field}: not with --${field}.`)
  }
  return removed
}
