import { z } from 'zod'
import { signingAlgorithms, tokenTyps } from '../keys/signing-algorithm.ts'
import { limits } from '../limits.ts'
import { isSubjectForm, subjectFormGrammar } from '../registry/subject.ts'
import { defaults } from './definition.ts'
import { audience, fixedClaims, found, foundAndStop, name, scopes } from './registration-values.ts'

/** What may be registered of a resource. It is a part of the schema (registration.ts). */

export const resource = z
  .strictObject({
    audience,
    name: name.optional(),
    scopes: scopes.default([]).describe('Every scope that clients can be given there.'),
    token_lifetime: z
      .int(found('token_lifetime_out_of_range'))
      .min(limits.tokenLifetimeSecondsMin, found('token_lifetime_out_of_range'))
      .max(limits.tokenLifetimeSecondsMax, found('token_lifetime_out_of_range'))
      .default(defaults.tokenLifetimeSeconds)
      .describe('Seconds that a token lives.'),
    signing_algorithm: z
      .enum(signingAlgorithms, found('algorithm_unknown'))
      .optional()
      .describe('What signs the tokens. Left out: ES256, and RS256 for an external resource.'),
    token_typ: z
      .enum(tokenTyps, found('typ_unknown'))
      .optional()
      .describe(
        'The typ in the header of the tokens: at+jwt (RFC 9068), or JWT for frameworks that refuse it. Left out: at+jwt, and ' +
          'JWT for an external resource.',
      ),
    external: z
      .boolean()
      .default(false)
      .describe('Whether the audience is somebody else who trusts this issuer: a cloud, or an API provider.'),
    subject_form: z
      .string()
      .max(limits.subjectFormCharactersMax, foundAndStop('text_too_long'))
      .refine(isSubjectForm, found('subject_form_malformed'))
      .meta({
        pattern: subjectFormGrammar.source,
        description:
          'The sub of the tokens of an external resource, with {client_id} in it once, like system:client:{client_id}. Left ' +
          'out: the id of the client.',
      })
      .optional(),
    claims: fixedClaims.optional().describe('Claims that all tokens for the resource have.'),
  })
  .check(({ value, issues }) => {
    if (value.subject_form === undefined || value.external) return
    const message = found('subject_form_not_external')
    issues.push({ code: 'custom', message, input: value, path: ['subject_form'] })
  })
  .describe('What tokens are for.')
