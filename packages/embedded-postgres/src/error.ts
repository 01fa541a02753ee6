/** What went wrong, for a program that wants to add what its own users can do about it. */
export type EmbeddedPostgresErrorCode =
  /** We are root, PostgreSQL does not run as root, and there is no other user to run it as. */
  | 'no_server_user'
  /** The programs of PostgreSQL are not installed, or do not run on this machine. */
  | 'no_programs'
  /** The data directory cannot be created. */
  | 'no_data_directory'
  /** Something else cannot be written: the copy of the programs, the log, a temporary directory, a link. */
  | 'cannot_write'
  /** initdb failed. */
  | 'cannot_initialize'
  /** The database belongs to another user, and we are not root. */
  | 'other_owner'
  /** What stands in the place of the database cannot be used as it is. The message says how to resolve it. */
  | 'unusable_database'
  /** The server does not start. The message names its log. */
  | 'cannot_start'
  /** The server runs and refuses what we ask of it. */
  | 'refused'

/** A failure that its message explains in whole sentences. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError'
  readonly code: EmbeddedPostgresErrorCode

  constructor(code: EmbeddedPostgresErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options)
    this.code = code
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
