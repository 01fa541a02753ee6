import type { EmbeddedPostgres, EmbeddedPostgresErrorCode } from '@workspace/embedded-postgres'
import { OperatorError } from '../errors.ts'

/**
 * The database if DATABASE_URL is not set: packages/embedded-postgres with the names of this service, and with errors
 * in words for an operator. This is the only file that knows the package. It loads the package when it is needed and
 * not before, because the image does not have it.
 */
export type EmbeddedDatabase = EmbeddedPostgres

export interface EmbeddedOptions {
  /** Called with what an operator should know, in whole sentences. */
  readonly report?: (message: string) => void
  /** More settings of the server. They count only when this call starts the server. */
  readonly settings?: Readonly<Record<string, string>>
}

/** What an operator can do, where the message itself does not say it. */
const advice: Readonly<Record<EmbeddedPostgresErrorCode, string>> = {
  no_server_user: ' Run Mintmark as an ordinary user, or set DATABASE_URL.',
  no_programs: ' Set DATABASE_URL to a PostgreSQL server of your own.',
  no_data_directory: '',
  cannot_write: '',
  cannot_initialize: ' Remove the cause, name another data directory, or set DATABASE_URL.',
  other_owner: ' Run Mintmark as that user or as root, or name another data directory.',
  unusable_database: '',
  cannot_start: '',
  refused: '',
}

/** @throws OperatorError if there can be no embedded database here. */
export async function openEmbedded(
  dataDirectory: string,
  options: EmbeddedOptions = {},
): Promise<EmbeddedDatabase> {
  const { openEmbeddedPostgres, EmbeddedPostgresError } = await loadPackage()
  try {
    return await openEmbeddedPostgres({ dataDirectory, name: 'mintmark', ...options })
  } catch (error) {
    if (!(error instanceof EmbeddedPostgresError)) throw error
    const { code, message } = error
    const said =
      code === 'no_data_directory'
        ? `MINTMARK_DATA_DIR: ${message.charAt(0).toLowerCase()}${message.slice(1)}`
        : message
    throw new OperatorError(`${said}${advice[code]}`, { cause: error })
  }
}

async function loadPackage(): Promise<typeof import('@workspace/embedded-postgres')> {
  try {
    return await import('@workspace/embedded-postgres')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new OperatorError(
      'The embedded PostgreSQL is not installed here. Set DATABASE_URL to a PostgreSQL server of your own, or ' +
        'run "npm ci" in a checkout.',
      { cause },
    )
  }
}
