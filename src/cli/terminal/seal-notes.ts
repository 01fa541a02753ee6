import type { StoredClient } from '../../administration/definition.ts'
import { SealCheck } from '../../administration/seal-registry.ts'
import { AdministrationError } from '../../errors.ts'
import type { SealProblem } from '../../registry/seal-problems.ts'
import type { Connection } from './connect.ts'
import { counted, note } from './output.ts'
import { messageOf } from './sentences.ts'

/** Clients that one note names. */
const namedMax = 20

/** With a sealed registry: says of clients that are listed or shown which rows give more than was registered. */
export class SealNotes {
  readonly #check: SealCheck | undefined
  readonly #problems: SealProblem[] = []
  readonly #failure: string | undefined

  private constructor(check: SealCheck | undefined, failure?: string) {
    this.#check = check
    this.#failure = failure
  }

  /** A list is shown without the key-encryption key too. */
  static async open({ database, clock, actor, sealing }: Connection): Promise<SealNotes> {
    if (sealing === undefined) return new SealNotes(undefined)
    try {
      return new SealNotes(await SealCheck.open({ database, clock, actor, sealing }))
    } catch (error) {
      if (!(error instanceof AdministrationError)) throw error
      return new SealNotes(undefined, `Nobody can tell which rows were registered. ${messageOf(error)}`)
    }
  }

  /** Looks at clients on their way. */
  async *around(pages: AsyncIterable<readonly StoredClient[]>): AsyncGenerator<readonly StoredClient[]> {
    for await (const page of pages) {
      const clientIds = page.map(({ clientId }) => clientId)
      if (this.#check !== undefined) this.#problems.push(...(await this.#check.problemsOf(clientIds)))
      yield page
    }
  }

  /** What one client's rows would give; undefined where that is not known. */
  async differencesOf(clientId: string): Promise<readonly string[] | undefined> {
    if (this.#check === undefined) return undefined
    const problems = await this.#check.problemsOf([clientId])
    this.#problems.push(...problems)
    return problems.flatMap(({ differences }) => differences)
  }

  print(): void {
    if (this.#failure !== undefined) note(`\nWARNING: ${this.#failure}`)
    if (this.#problems.length === 0) return
    const named = this.#problems
      .slice(0, namedMax)
      .map(({ id, differences }) => `  ${id}: ${differences.join(', ')}`)
    const more = this.#problems.length > namedMax ? [`  and ${this.#problems.length - namedMax} more`] : []
    note(
      [
        `\nWARNING: ${counted(this.#problems.length, 'client')} with rows that nobody with the key-encryption key wrote. ` +
          'What they would give has no effect:',
        ...named,
        ...more,
        'Find out who can write the database. "bin/mintmark registry seal --dry-run" shows everything that differs.',
      ].join('\n'),
    )
  }
}
