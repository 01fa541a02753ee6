import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Scratch {
  readonly path: (name: string) => string
  remove(): void
}

/** A directory for the files of a test. */
export function scratch(): Scratch {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-test-'))
  // As root, PostgreSQL runs as another user. It must be able to enter, or its files end up elsewhere and stay there.
  chmodSync(directory, 0o711)
  return {
    path: (name) => join(directory, name),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}
