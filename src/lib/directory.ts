import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Creates a directory, and those above it that are missing, one by one: Node's own way to do all at once never
 * returns on a file system like /proc, where nothing can be made and the reason given is that it is missing.
 * @returns whether it was made; false when it is there already.
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
