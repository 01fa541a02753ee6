import { z } from 'zod'
import { momentForm, readMoment } from '../lib/moment.ts'
import { treacherous } from '../lib/plain-text.ts'
import { limits } from '../limits.ts'
import { type FixedClaimProblem, fixedClaimForm, fixedClaimProblems } from '../registry/fixed-claims.ts'
import { audienceForm, scopeToken } from '../registry/grammar.ts'
import type { MistakeCode } from './mistake.ts'

/** The values that clients, resources and issuers have in common, and how a check names what it finds (registration.ts). */

/** The code of the mistake that a check finds. */
export const found = (code: MistakeCode): MistakeCode => code
/** The same for a check after which no other one of that value makes sense. */
export const foundAndStop = (code: MistakeCode) => ({ error: code, abort: true })

/** Not one of the characters that forge a line or turn its text around. */
const plainTextForm = new RegExp(`^(?:(?!${treacherous.source}).)*$`, 'u')

export const name = z
  .string()
  .regex(/\S/, foundAndStop('name_empty'))
  .max(limits.nameCharactersMax, foundAndStop('text_too_long'))
  .regex(plainTextForm, found('name_characters'))
  .describe('A name for people. The id if it is left out.')

/** A text for people that says something. */
export const plainTextOf = (most: number) =>
  z
    .string()
    .regex(/\S/, foundAndStop('text_empty'))
    .max(most, foundAndStop('text_too_long'))
    .regex(plainTextForm, found('text_characters'))

export const audience = z
  .string()
  .max(limits.audienceCharactersMax, foundAndStop('text_too_long'))
  .regex(audienceForm, found('audience_malformed'))
  .describe(
    'What tokens for the resource name as their audience: an absolute URI without a fragment, or a plain name.',
  )

export const moment = z
  .string()
  .refine((text) => readMoment(text) !== undefined, found('moment_malformed'))
  .meta({ pattern: momentForm.source, description: 'A date and a time with a zone (RFC 3339).' })

const scope = z
  .string()
  .max(limits.scopeCharactersMax, foundAndStop('text_too_long'))
  .regex(scopeToken, found('scope_malformed'))

export const scopes = eachOnce(scope, limits.scopesPerResourceMax)

export const access = z
  .strictObject({
    audience,
    // Not optional: left out it could mean none or all of them, and neither may be guessed.
    scopes: scopes.describe('The scopes that the client may ask for there. Empty: tokens without scopes.'),
  })
  .describe('A resource that the client may call.')

const claimMistakes = {
  malformed: 'fixed_claim_malformed',
  reserved: 'fixed_claim_reserved',
  value: 'fixed_claim_value_wrong',
  too_many: 'fixed_claims_too_many',
  too_large: 'fixed_claims_too_large',
} as const satisfies Record<FixedClaimProblem['kind'], MistakeCode>

/** Claims of a client or a resource. Not a record of zod, which passes over a claim that is called __proto__. */
export const fixedClaims = z
  .unknown()
  .check(({ value, issues }) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      issues.push({ code: 'invalid_type', expected: 'record', input: value, path: [] })
      return
    }
    for (const problem of fixedClaimProblems(value)) {
      const path = 'name' in problem ? [problem.name] : []
      issues.push({ code: 'custom', message: found(claimMistakes[problem.kind]), input: value, path })
    }
  })
  .meta({
    type: 'object',
    maxProperties: limits.fixedClaimsMax,
    propertyNames: { pattern: fixedClaimForm.source, maxLength: limits.fixedClaimNameCharactersMax },
    additionalProperties: {
      anyOf: [
        { type: 'string', minLength: 1, maxLength: limits.fixedClaimTextCharactersMax },
        { type: 'integer' },
        { type: 'boolean' },
        { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: limits.fixedClaimValuesMax },
      ],
    },
  })

/** A list in which nothing stands twice. */
export function eachOnce(item: z.ZodType<string>, most: number) {
  return z
    .array(item)
    .max(most, found('list_too_long'))
    .check(({ value, issues }) => {
      const seen = new Set<string>()
      for (const [index, text] of value.entries()) {
        if (seen.has(text)) {
          issues.push({ code: 'custom', message: found('listed_twice'), input: text, path: [index] })
        }
        seen.add(text)
      }
    })
    .meta({ uniqueItems: true })
}
