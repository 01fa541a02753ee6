import {
  type Mistake,
  type MistakeCode,
  type MistakeFields,
  mistakesIn,
  pathText,
} from '../../administration/mistake.ts'
import { OperatorError } from '../../errors.ts'
import { momentExample } from '../../lib/moment.ts'
import { didYouMean } from '../../lib/suggest.ts'
import { limits } from '../../limits.ts'

/** What people call a secret, or its hash, of which they have one already. */
const secretKey = /secret|passw(?:or)?d|api_?key/i

/**
 * The sentences for the mistakes of a registration. Each one completes "clients[3].name: …".
 *
 * Long because each mistake has its sentence in one table.
 */
export const mistakeSentences: {
  readonly [Code in MistakeCode]: (fields: MistakeFields[Code]) => string
} = {
  yaml_malformed: ({ problem }) => problem,
  values_too_many: ({ limit }) =>
    `has more than ${limit} values, with each alias counted as the values that it stands for; split it`,
  registration_empty: ({ known }) => `is empty; it needs at least one of ${known.map(quoted).join(', ')}`,
  kind_wrong: (fields) => `must be ${wantedKind(fields)}; ${foundKind(fields)}`,
  key_unknown({ key, known }) {
    if (key === '<<')
      return 'Merge keys are not supported; write out what the other entry has. An alias of a whole value (*name) is fine'
    if (secretKey.test(key))
      return (
        'a secret must not be in this file: "seed" makes one for each new client and shows it once. Remove it, and ' +
        'replace it wherever it is in use'
      )
    return `there is no such key; known are ${known.join(', ')}.${didYouMean(key, known)}`
  },
  key_missing({ key }) {
    const example = keyExamples[key]
    return `needs "${key}"${example === undefined ? '' : `, for example ${key}: ${example}`}`
  },

  text_too_long: ({ length, limit }) => `is ${length} characters long; at most ${limit} are allowed`,
  list_too_long: ({ count, limit }) => `has ${count} entries; at most ${limit} are allowed`,
  listed_twice: ({ value }) => `${quoted(value)} is listed twice`,
  already_named: ({ value, first }) => `${quoted(value)} is already ${pathText(first)}`,

  client_id_malformed: ({ value }) =>
    `${quoted(value)} is not a client id: use letters, digits and . _ : / @ ~ -, beginning with a letter or digit`,
  client_id_credential: () =>
    'has a secret, a token or a password in it, and an id is shown everywhere; write the id alone. Replace the credential ' +
    'if somebody else has seen it',
  client_id_reserved: ({ value }) =>
    `${quoted(value)} begins like the id of a workload, and a client cannot have such an id; choose another one`,
  name_empty: () => 'is empty; leave it out to use the id as the name',
  name_characters: () => 'contains a control, invisible or bidirectional character; remove it',
  method_unknown: ({ value, known }) =>
    `${quoted(value)} is not a method of this service; write ${known.join(' or ')}.${didYouMean(value, known)}`,
  status_unknown({ value, known }) {
    if (value !== 'deleted') return `must be ${known.join(' or ')}.${didYouMean(value, known)}`
    return 'a file deletes no client, because that cannot be undone; use "bin/mintmark clients delete"'
  },
  network_malformed: ({ problem }) => problem,
  moment_malformed: ({ value }) =>
    `${quoted(value)} is not a date and time with a zone; write it like ${momentExample}`,
  audience_malformed({ value }) {
    if (value.includes('#'))
      return `${quoted(value)} has a fragment (#…); an audience is an absolute URI without one`
    return (
      `${quoted(value)} is neither an absolute URI, like https://orders.example.com or urn:example:orders, ` +
      'nor a plain name, like rabbitmq'
    )
  },
  scope_malformed({ value }) {
    if (value.includes(' '))
      return `${quoted(value)} contains a space; write each scope as an entry of its own`
    return `${quoted(value)} is not a scope: use printable ASCII without spaces, quotation marks and backslashes`
  },
  token_lifetime_out_of_range: ({ value, least, most }) =>
    `must be a whole number of seconds from ${least} to ${most}; it is ${value}`,
  typ_unknown: ({ value, known }) =>
    `${quoted(value)} is not a typ of a token; write ${known.join(' or ')}.${didYouMean(value, known)}`,
  algorithm_unknown: ({ value, known }) =>
    `${quoted(value)} is not an algorithm of this service; known are ${known.join(', ')}.${didYouMean(value, known)}`,

  assertion_audience_unknown: ({ value, known }) =>
    `${quoted(value)} is not an audience of assertions; write ${known.join(' or ')}.${didYouMean(value, known)}`,
  text_empty: () => 'is empty; leave it out',
  text_characters: () => 'contains a control, invisible or bidirectional character; remove it',
  client_kind_unknown: ({ value, known }) =>
    `${quoted(value)} is not a kind of client; known are ${known.join(', ')}.${didYouMean(value, known)}`,
  fixed_claim_malformed: ({ name }) =>
    `${quoted(name)} is not a name of a claim: use letters, digits and . _ : / @ ~ -, beginning with a letter`,
  fixed_claim_reserved: ({ name }) =>
    `${quoted(name)} is a claim by which others know what a token is, whose it is or what ` +
    'it may do, so only the service sets it; choose another name',
  fixed_claim_value_wrong: ({ name }) =>
    `${quoted(name)} must be text of at most ${limits.fixedClaimTextCharactersMax} characters, a whole number, true or ` +
    `false, or a list of at most ${limits.fixedClaimValuesMax} such texts. Text is not empty, and has no control, ` +
    'invisible or bidirectional character',
  fixed_claims_too_many: ({ count, limit }) => `has ${count} claims; at most ${limit} are allowed`,
  fixed_claims_too_large: ({ bytes, limit }) =>
    `takes ${bytes} bytes in every token; at most ${limit} are allowed`,
  subject_form_malformed: ({ value }) =>
    `${quoted(value)} is not a form of a subject: write {client_id} in it once, like system:client:{client_id} or ` +
    'spiffe://example.org/{client_id}',
  subject_form_not_external: () =>
    'is for a resource with external: true; services of your own read the id of the client as sub (RFC 9068)',
  jwk_private: ({ member }) =>
    `is a private key: it has ${quoted(member)}. Register its public half only. If anybody else has seen this ` +
    `copy, make a new key`,
  jwk_malformed: ({ problem }) => problem,
  certificate_field_malformed: ({ problem }) => problem,
  certificate_fields_several: ({ first }) =>
    `is written together with ${first}; a client is known by exactly one field of its certificate`,
  certificate_field_missing: ({ known }) => `needs one field of a certificate: ${known.join(', ')}`,
  certificate_field_unused: ({ method }) =>
    `is for clients that authenticate by tls_client_auth, but this one uses ${method}; to ask for a certificate ` +
    `in addition, ` +
    'use require_certificate',

  fapi_auth_method: ({ method, known }) =>
    `a client with fapi: true has no secret; write token_endpoint_auth_method: ${known.join(', or ')}. It is ${method} now`,
  fapi_assertion_audience: () =>
    'the assertions of a client with fapi: true name the issuer alone; write assertion_audience: issuer, or leave it out',
  fapi_unbound: () =>
    'a client with fapi: true gets only tokens that are bound; write dpop_bound_access_tokens: true, or ' +
    'tls_client_certificate_bound_access_tokens: true',
  fapi_key_algorithm: () =>
    'is for RS256, which a client with fapi: true must not use; use an RSA key with alg: PS256, or a key of ' +
    'P-256 or Ed25519',
  fapi_stored_keys: ({ clientId, thumbprints }) =>
    `has keys for RS256, and fapi: true does not allow them: ${someOf(thumbprints)}. Revoke them with ` +
    `"bin/mintmark clients keys ` +
    `revoke ${clientId} KEY" and register others, with alg: PS256 for RSA`,
  fapi_secrets: ({ clientId, count }) =>
    `has ${count === 1 ? 'a valid secret' : `${count} valid secrets`}, and a client with fapi: true has none. Let it use its key or ` +
    `certificate first, then revoke what "bin/mintmark clients secrets list ${clientId}" shows`,
  fapi_resource_algorithm: ({ audience }) =>
    `the tokens of ${audience} are signed with RS256, which a client with fapi: true must not get; let that resource use ES256, ` +
    'EdDSA or PS256, or leave it out here',
  fapi_rules: ({ rules }) =>
    `${someOf(rules)} gives its tokens for assertions with assertion_audience: token_endpoint; for a client ` +
    `with fapi: true, write issuer there`,
  resource_algorithm_fapi: ({ holders }) =>
    `cannot be RS256: ${someOf(holders)} may call it, with fapi: true. Choose ES256, EdDSA or PS256`,
  rule_audience_fapi: ({ clientId }) =>
    `must be issuer: ${quoted(clientId)} has fapi: true, so assertions for it must name the issuer alone`,

  list_empty: () => 'is empty; it needs at least one entry',
  issuer_malformed: ({ value }) =>
    `${quoted(value)} is not an issuer: write the iss of its assertions, like ` +
    `https://token.actions.githubusercontent.com, or ` +
    'a trust domain, like spiffe://example.org',
  keys_url_malformed: ({ value }) =>
    `${quoted(value)} is not an address of keys: it must be an https URL without a fragment`,
  key_sources_several: () =>
    'has several sources of keys; write one of jwks_uri, spiffe_bundle and jwks, or none',
  spiffe_keys_missing: () =>
    'a trust domain does not say where its keys are; write spiffe_bundle with the address of its bundle, or jwks',
  bundle_without_trust_domain: () =>
    'spiffe_bundle is for a trust domain, like spiffe://example.org; write jwks_uri for any other issuer',
  client_metadata_not_true: () => 'must be true; leave it out for an issuer that signs assertions itself',
  client_metadata_prefix_malformed: ({ value }) =>
    `${quoted(value)} is not the beginning of addresses: write an https URL that ends with /, without a user, a ` +
    `query, a ` +
    'fragment, % and dot segments, like https://agents.example.com/',
  client_metadata_rule_wrong: () =>
    'is about clients that publish a document about themselves: it needs access, has conditions on sub only (or none), ' +
    'names no client_id or confirmed_key, and accepts an assertion once',
  rule_malformed: ({ value }) =>
    `${quoted(value)} is not a name of a rule: use letters, digits and . _ : / @ ~ -, beginning with a letter ` +
    `or digit`,
  rule_gives_nothing: () =>
    'does not say what it gives: write client_id, or access for workloads without a client',
  rule_open: () =>
    'fits everybody that the issuer signs for; add a condition that only some of them fit, or write ' +
    'dangerously_any_subject: true if that is meant',
  rule_open_to_world: () =>
    'fits everybody in the world who has an account there; add a condition that says whose the workload is ' +
    '(repository_id or project_id, for example), or write dangerously_any_subject: true if that is meant',
  default_service_account_named: () =>
    'names the service account "default", which every pod gets that has no account of its own; give the pods ' +
    'one, or write allow_default_service_account: true',
  claim_malformed: ({ value }) =>
    `${quoted(value)} is not a claim: write its name, or a JSON Pointer like /kubernetes.io/namespace`,
  claim_value_wrong: () =>
    'must be text, a number below 2^53, true or false: a claim can only be compared with these',
  condition_not_one: () => 'needs exactly one of equals, one_of, prefix and present',
  prefix_open: ({ value }) =>
    `${quoted(value)} ends in the middle of a name, so longer names would fit too; end it with / or :`,
  present_not_true: () => 'must be true; a rule cannot ask for a claim to be missing',
  assertion_use_unknown: ({ value, known }) =>
    `${quoted(value)} is not a use of assertions; write ${known.join(' or ')}.${didYouMean(value, known)}`,
  require_dpop_unknown: ({ value, known }) =>
    `${quoted(value)} does not say which key is needed; write ${known.join(' or ')}.${didYouMean(value, known)}`,
  assertion_max_age_out_of_range: ({ value, least, most }) =>
    `must be a whole number of seconds from ${least} to ${most}; it is ${value}`,

  client_id_taken: ({ clientId }) =>
    `${quoted(clientId)} belonged to a client that was deleted, and an id is never used again; choose another one`,
  key_was_revoked: ({ thumbprint }) =>
    `the key ${thumbprint} was revoked, which cannot be undone; make a new key, or leave this one out`,
  resource_unknown({ audience, nearest }) {
    const hint = nearest === undefined ? '' : ` Did you mean "${nearest}"?`
    return (
      `there is no resource with the audience ${quoted(audience)}.${hint} ` +
      'Create it with a seed file, under "resources", or by "resources create".'
    )
  },
  scope_unknown({ scope, audience, known }) {
    const shown = known.slice(0, 10).join(', ')
    const all = known.length === 0 ? 'no scopes' : known.length > 10 ? `${shown}, …` : shown
    return `${audience} has no scope ${quoted(scope)}; it has ${all}.${didYouMean(scope, known)}`
  },
  scope_in_use: ({ scope, holders }) =>
    `lacks ${quoted(scope)}, which ${someOf(holders)} may still ask for; change them in this file too`,
  claims_contradict: ({ claim, others }) =>
    `the claim ${quoted(claim)} contradicts that of ${someOf(others)}; a token has it only once, so make them ` +
    `equal, or remove one of them`,
  subject_unfit: ({ form, clientIds }) =>
    `${quoted(form)} does not make a SPIFFE ID for ${someOf(clientIds)}: segments of a SPIFFE ID have only ` +
    `letters, digits and . _ -`,
  client_metadata_prefix_nested: ({ issuer }) =>
    `overlaps with ${issuer}, which is also trusted for documents of clients: one begins with the other; remove ` +
    `one of the two`,
  rule_named_elsewhere: ({ rule, issuer }) =>
    `${quoted(rule)} is a rule of ${issuer} already; a name must be unique, because the ledger names a rule by ` +
    `it alone`,
  rule_client_unknown({ clientId, nearest }) {
    const hint = nearest === undefined ? '' : ` Did you mean "${nearest}"?`
    return `there is no client ${quoted(clientId)}.${hint} Create it with a seed file, or with "clients create".`
  },
  issuers_too_many: ({ count, limit }) => `makes ${count} trusted issuers; at most ${limit} are allowed`,
}

/** Keys that cannot be left out, and what to write. */
const keyExamples: Readonly<Record<string, string>> = {
  client_id: 'billing',
  audience: 'https://orders.example.com',
  scopes: '[orders:read], or [] for a token without scopes',
  issuer: 'https://token.actions.githubusercontent.com',
  rule: 'deploy',
  claim: 'repository_id',
}

export function mistakeSentence(mistake: Mistake): string {
  const sentence = mistakeSentences[mistake.code] as (fields: Mistake) => string
  return sentence(mistake)
}

/** The same for the command line. What a sentence says to write is the line of a file, and there it is an option. */
export function optionSentence(mistake: Mistake): string {
  const option = (key: string) => `--${key.replace('token_endpoint_', '').replaceAll('_', '-')}`
  // A field of --require-certificate is written as in a file.
  const isField =
    mistake.code.startsWith('certificate_field') && !mistake.path.includes('require_certificate')
  const sentence = mistakeSentence(mistake)
  const said = isField
    ? sentence.replace(/\b(tls_client_auth_(?:subject|san)_[a-z]+|require_certificate)\b/g, (_, key) =>
        option(key),
      )
    : sentence
  return said
    .replace('write client_id, or access', 'write --client, or --access')
    .replace(/\b(dangerously_any_subject|allow_default_service_account): true/, (_, key) => option(key))
    .replace(/\b([a-z_]+): true\b/g, (_, key) => `${option(key)} yes`)
    .replace(/\b(token_endpoint_auth_method|assertion_audience): /g, (_, key) => `${option(key)} `)
}

const mistakesShownMax = 20

/** All mistakes, a line each: `clients.yaml:3:5: clients[0].name: …`. */
export function mistakeList(mistakes: readonly Mistake[], file: string | undefined): string {
  const shown = mistakes.slice(0, mistakesShownMax).map((mistake) => {
    const { path, place } = mistake
    const where = [
      ...(file === undefined || place === undefined ? [] : [`${file}:${place.line}:${place.column}`]),
      ...(path.length === 0 ? [] : [pathText(path)]),
    ]
    return `  ${[...where, mistakeSentence(mistake)].join(': ')}`
  })
  if (mistakes.length > shown.length) shown.push(`  … and ${mistakes.length - shown.length} more`)
  const count = mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`
  return `${file ?? 'The registration'} has ${count}; nothing was applied.\n${shown.join('\n')}`
}

function wantedKind({ expected, found, known, written }: MistakeFields['kind_wrong']): string {
  if (expected === 'number') {
    const isQuoted = found === 'text' && (written === undefined || /^\d+$/.test(written.trim()))
    return isQuoted ? 'a number without quotes' : 'a number'
  }
  if (expected === 'text') return 'text'
  if (expected === 'boolean') return 'true or false'
  return known === undefined ? `a ${expected}` : `a ${expected} with ${known.join(', ')}`
}

/** What was found instead, and what YAML made of it. */
function foundKind({ expected, found, written }: MistakeFields['kind_wrong']): string {
  if (found === 'nothing') return 'it is empty'
  if (found === 'text')
    return written === undefined || expected !== 'number' ? 'it is text' : `it is the text ${quoted(written)}`
  const kind = found === 'boolean' ? 'truth value' : found
  if (expected !== 'text' || written === undefined) return `it is a ${kind}`
  return `YAML reads ${written} as a ${kind}: write "${written}" if text is meant`
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}

/** The first three names, and how many more there are. */
export function someOf(names: readonly string[]): string {
  if (names.length <= 3) return names.join(' and ')
  return `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`
}

/** The field that a mistake is about, in one entry or in a list of them. */
export function fieldOf({ path }: Mistake, list: 'clients' | 'resources'): string {
  const [field] = path[0] === list ? path.slice(2) : path
  return String(field)
}

/**
 * For `catch`: ends the command with the first mistake, in the words of its options. Another error stays as it is.
 * @throws OperatorError, or the error.
 */
export function throwInWords(inWords: (mistake: Mistake) => string): (error: unknown) => never {
  return (error) => {
    const [first] = mistakesIn(error)
    throw first === undefined ? error : new OperatorError(inWords(first))
  }
}
