import { z } from 'zod'
import { limits } from '../limits.ts'
import { requiredCertificateOfRule } from './certificate-registration.ts'
import { client } from './client-registration.ts'
import { access, found, moment, plainTextOf } from './registration-values.ts'
import { resource } from './resource-registration.ts'
import { issuerSchema, ruleSchema } from './trust-registration.ts'

/**
 * What may be registered. This schema is the only place that says it: files and commands are checked by it (parse.ts),
 * and `jsonSchema` says the same to others. Its parts are client-registration.ts, resource-registration.ts and
 * trust-registration.ts. What depends on what is registered already is checked in plan.ts.
 *
 * The message of each check is the code of a mistake. The database's own CHECK constraints are wider; they stop a
 * hand-written UPDATE that the service could not read.
 *
 * Only what needs it may load this file: zod costs 30 ms, and a process that serves has no use for it.
 */

const secret = z
  .strictObject({ expires_at: moment.optional() })
  .describe('What can be said of a new secret. The secret itself is always generated.')

const rule = ruleSchema(access, requiredCertificateOfRule)
const issuer = issuerSchema(rule, plainTextOf(limits.ownerCharactersMax))

const registration = z
  .strictObject({
    resources: z.array(resource).default([]),
    clients: z.array(client).default([]),
    trust: z.array(issuer).max(limits.trustedIssuersMax, found('list_too_long')).default([]),
  })
  .meta({
    minProperties: 1,
    description: 'Resources, clients and trusted issuers that are applied together.',
  })

export const schemas = { registration, resource, client, access, secret, issuer, rule } as const

/** A resource and a client in the words of files, with the defaults filled in. */
export type ResourceInput = z.output<typeof resource>
export type ClientInput = z.output<typeof client>

/**
 * The same as JSON Schema (draft 2020-12), for those who send a registration. It accepts a little more, because it
 * has no words for some rules: days that the calendar does not have, networks with bits set below their prefix, and
 * two entries of one list that name the same client, resource or audience.
 */
export function jsonSchema(subject: keyof typeof schemas): Readonly<Record<string, unknown>> {
  return z.toJSONSchema(schemas[subject], { io: 'input', target: 'draft-2020-12' })
}
