import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Creates a directory and its missing parents, one by one. Node's `recursive` option never returns on a file
 * system like /proc: nothing can be created there, and the error says that the directory is missing.
 * @returns true if the directory was created, false if it exists already.
 */
export function makeDirectory(directory: string, mode = 0o777): boolean {
  try {
    return make(directory, mode)
  } catch (error) {
    const parent = dirname(directory)
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === directory) throw error
    makeDirectory(parent, mode)
  }
  return make(directory, mode)
}

function make(directory: string, mode: number): boolean {
  try {
    mkdirSync(directory, { mode })
    return true
  } catch (error) {
    const isThere = statSync(directory, { throwIfNoEntry: false })?.isDirectory() ?? false
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' && isThere) return false
    throw error
  }
}
