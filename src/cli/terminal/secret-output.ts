import type { NewSecret } from '../../authentication/secret-hash.ts'
import { OperatorError } from '../../errors.ts'
import { ReservedFile } from '../../lib/private-file.ts'
import { OutputClosed, print } from './output.ts'

/**
 * Where new secrets go, once: to stdout, or to a file. The file is created before anything is changed, and
 * is on the disk before the change is committed, so that no secret is in force that nobody ever saw.
 */
export class SecretOutput {
  readonly #option: string
  readonly path: string | undefined
  #file: ReservedFile | undefined
  #written = false
  #committing = false

  constructor(option: string, path: string | undefined) {
    this.#option = option
    this.path = path
  }

  /**
   * Called before anything is changed, once it is clear that there will be a secret.
   * @throws OperatorError when the file exists or cannot be created.
   */
  reserve(): void {
    if (this.path !== undefined) this.#file = reserve(this.#option, this.path)
  }

  /** Called when everything is written and only the COMMIT remains. */
  deliver(content: string): void {
    this.#file?.write(content)
    this.#written = this.#file !== undefined
    this.#committing = true
  }

  /** Runs the change, and leaves no empty file behind where it made no secrets. */
  async around<Result>(change: () => Promise<Result>): Promise<Result> {
    try {
      return await change()
    } catch (error) {
      // All was done, and only its report found no reader: the file stays.
      if (error instanceof OutputClosed) throw error
      if (this.#written && this.#committing && !(error instanceof OperatorError)) {
        throw new OperatorError(
          `The connection broke while the change was being committed. ${this.path} holds the secrets that count if ` +
            'it was; "bin/mintmark clients list" shows whether.',
          { cause: error },
        )
      }
      this.#written = false
      throw error
    } finally {
      if (this.#written) this.#file?.close()
      else this.#file?.remove()
    }
  }

  /** For one secret: to the file it goes as it is, for `--secret-file` and $(cat …). */
  deliverOne({ secret }: NewSecret): void {
    this.deliver(`${secret}\n`)
  }

  /** What a person is told of one new secret. */
  printOne({ secret }: NewSecret): void {
    if (this.path === undefined)
      print(`\n  ${secret}\n\nThis is the only time the secret is shown. Only its hash is kept.\n`)
    else print(`The secret is in ${this.path}. Only its hash is kept here.\n`)
  }
}

function reserve(option: string, path: string): ReservedFile {
  try {
    return new ReservedFile(path)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const problem = code === 'EEXIST' ? 'exists already and is not overwritten. Name another file.' : message
    throw new OperatorError(`--${option}: ${path}: ${problem}`, { cause: error })
  }
}
