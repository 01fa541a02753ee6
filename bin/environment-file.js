import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'

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
  return lineProblem(path, text) ?? settingProblem(path, text)
}

/**
 * A line that sets nothing. A value in quotes may have several lines, and they are no lines of their own.
 *
 * @param {string} path
 * @param {string} text
 */
function lineProblem(path, text) {
  const lines = text.replace(quotedValue, (whole) => whole.replace(/[^\n]/g, '=')).split('\n')
  const index = lines.findIndex((line) => !/^\s*(?:#|$)|=/.test(line))
  if (index === -1) return undefined
  return `${path}:${index + 1}: has no "=" after the name. Write NAME=value.`
}

const quotedValue = /^(?:\s*export\s)?\s*[\w.-]+\s*=\s*(["'`])[\s\S]*?\1/gm

/**
 * A line that Node reads without an error, and that sets nothing we use. For Node, "set PORT" and "MINTMARK-LOG-LEVEL" are
 * names of variables.
 *
 * @param {string} path
 * @param {string} text
 */
function settingProblem(path, text) {
  for (const [name, value] of Object.entries(parseEnv(text))) {
    // Not repeated: it may be a URL with a password.
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      return `${path}:${lineOf(text, name)}: what is before the "=" is no name of a setting. Write NAME=value, and nothing before the name.`
    const second = /\s((?:DATABASE_URL|MINTMARK_[A-Z0-9_]+))=/.exec(value ?? '')
    if (second !== null)
      return `${path}:${lineOf(text, name)}: the value of ${name} goes on with ${second[1]}=. Write each setting on a line of its own, and close every quote.`
  }
  return undefined
}

/**
 * @param {string} text
 * @param {string} name
 */
function lineOf(text, name) {
  return text.split('\n').findIndex((line) => line.replace(/^\s*(?:export\s+)?/, '').startsWith(name)) + 1
}
