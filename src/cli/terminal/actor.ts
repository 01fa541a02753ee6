import { hostname, userInfo } from 'node:os'
import type { Actor } from '../../ledger/change-records.ts'

/** Who makes a change at the command line: the user of the operating system, on this machine. */
export function operatingSystemActor(): Actor {
  return { by: userName(), host: hostname() }
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // In a container a user need not have a name.
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}
