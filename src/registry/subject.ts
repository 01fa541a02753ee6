/**
 * The `sub` of tokens for an external audience, which can have its own form for it: `system:client:{client_id}`, or
 * `spiffe://example.org/{client_id}`. Each client has a subject of its own there, because the form has the id exactly
 * once.
 */
const placeholder = '{client_id}'

/** Printable ASCII without spaces, quotation marks, backslashes and braces; the placeholder stands in it once. */
export const subjectFormGrammar = /^[!#-[\]-z|~]*\{client_id\}[!#-[\]-z|~]*$/

const spiffePrefix = 'spiffe://'

/** SPIFFE-ID §2.1 and §2.2: a trust domain, and segments of letters, digits, dots, dashes and underscores. */
const spiffeId = /^spiffe:\/\/[a-z0-9._-]+(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)+$/

export function isSubjectForm(form: string): boolean {
  if (!subjectFormGrammar.test(form)) return false
  return !form.startsWith(spiffePrefix) || subjectOf(form, 'client') !== undefined
}

/** @returns undefined if the form cannot express this client: SPIFFE allows fewer characters than ids of clients have. */
export function subjectOf(form: string, clientId: string): string | undefined {
  const at = form.indexOf(placeholder)
  if (at < 0) return undefined
  const subject = form.slice(0, at) + clientId + form.slice(at + placeholder.length)
  return form.startsWith(spiffePrefix) && !spiffeId.test(subject) ? undefined : subject
}
