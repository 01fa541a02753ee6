/** A stranger chooses the header, so no run of spaces can be read in two ways: that would take the square of its length. */
const formType =
  /^application\/x-www-form-urlencoded[ \t]*(?:;[ \t]*(?:charset[ \t]*=[ \t]*"?utf-8"?[ \t]*(?:;[ \t]*)?)?)?$/i

/** Whether a body is a form in UTF-8, by its `Content-Type` (RFC 6749 Appendix B, RFC 9110 §8.3). */
export function isFormType(contentType: string): boolean {
  return formType.test(contentType)
}
