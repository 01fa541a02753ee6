import { readFileSync } from 'node:fs'

/**
 * What is wrong with a file of settings, in a whole sentence; undefined if nothing is. Node, which reads it, says "not found"
 * of a file that it may not open, and passes over what it does not understand: a service would start without these settings.
 *
 * @param {string} path
 * @returns {string | undefined}
 */
export function environmentFileProblem(path) {
  let bytes
  try {
    bytes = readFileSync(path)
  } catch (error) {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (error)
    const known = { EISDIR: 'it is a directory', EACCES: 'this user may not open it' }
    return `${path}: cannot read it: ${known[/** @type {keyof typeof known} */ (code)] ?? message}.`
  }
  const text = bytes.toString('utf8')
  if (text.includes('\0') || text.includes('\ufffd')) return `${path}: is not UTF-8 text. Save it as UTF-8.`
  if (text.startsWith('\ufeff'))
    return `${path}: begins with a byte order mark, and its first setting would be missed. Save it as UTF-8 without one.`
  const lines = text.split('\n')
  const index = lines.findIndex((line) => withoutEquals.test(line))
  if (index === -1) return undefined
  return `${path}:${index + 1}: has no "=" after the name. Write NAME=value.`
}

const withoutEquals =
  /^\s*(?:export\s+)?(?:HOST|PORT|WORKERS|DATABASE_URL(?:_FILE)?|MINTMARK_\w+)(?:\s*:|\s+[^\s=]|\s*$)/
