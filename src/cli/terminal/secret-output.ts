import { fstatSync, statSync } from 'node:fs'
import { devNull } from 'node:os'
import type { NewSecret } from '../../authentication/secret-hash.ts'
import { OperatorError } from '../../errors.ts'
import { fileProblem } from '../../lib/bounded-file.ts'
import { ReservedFile } from '../../lib/private-file.ts'
import { OutputClosed, outputFailure, print } from './output.ts'
import { terminal } from './terminal.ts'

/** What stands for standard output where a file can be named. */
const standardOutput = '-'

/**
 * What happens to the output. It is `kept` by another program: the engine of a container, or the service manager. They run
 * a command as the first process or as its child, and without a terminal. It is `lost` if it goes to the null device; Node
 * also opens that in the place of a standard output that is closed. A person, a script and a pipe `read` it themselves.
 */
type OutputFate = 'read' | 'kept' | 'lost'

function outputFate(): OutputFate {
  const { stdout } = terminal()
  if (stdout === process.stdout && isNullDevice(process.stdout.fd)) return 'lost'
  return stdout.isTTY !== true && (process.pid === 1 || process.ppid === 1) ? 'kept' : 'read'
}

function isNullDevice(file: number): boolean {
  try {
    const { rdev } = fstatSync(file)
    return rdev !== 0 && rdev === statSync(devNull).rdev
  } catch {
    return false
  }
}

const fates: Readonly<Record<Exclude<OutputFate, 'read'>, string>> = {
  kept: 'the output of this command goes to the log of a container or a service, and so would the secret',
  lost: 'standard output is closed, or the null device, and nobody would see the secret',
}

const replaceThem = 'replace them with "bin/mintmark clients secrets rotate CLIENT --secret-out FILE"'

/**
 * Writes new secrets once, to stdout or to a file. The file is created before anything is changed, and its
 * content is on the disk before the change is committed. So no valid secret can be lost before anybody has
 * seen it.
 */
export class SecretOutput {
  readonly #option: string
  readonly path: string | undefined
  readonly #fate: OutputFate
  #file: ReservedFile | undefined
  #written = false
  #committing = false

  constructor(option: string, path: string | undefined, fate = outputFate()) {
    this.#option = option
    this.path = path === standardOutput ? undefined : path
    this.#fate = path === standardOutput ? 'read' : fate
  }

  /**
   * Creates the file. Call it before anything is changed, when it is clear that there will be a new secret.
   * @throws OperatorError if the file exists or cannot be created, or if no file is named and the secret would be kept in a log, or lost.
   */
  reserve(): void {
    if (this.path === undefined && this.#fate !== 'read')
      throw new OperatorError(
        `--${this.#option}: must be set here: ${fates[this.#fate]}. Name a new file, or "${standardOutput}" for the ` +
          'output all the same. Nothing was changed.',
      )
    if (this.path !== undefined) this.#file = reserve(this.#option, this.path)
  }

  /** Writes the secrets. Call it when all statements of the change have run and only the COMMIT is left. */
  deliver(content: string): void {
    try {
      this.#file?.write(content)
    } catch (error) {
      // Before the COMMIT, so it takes everything back.
      throw new OperatorError(
        `--${this.#option}: ${this.path} cannot be written: ${fileProblem(error)}. Nothing was changed.`,
        { cause: error },
      )
    }
    this.#written = this.#file !== undefined
    this.#committing = true
  }

  /**
   * Runs the change. Removes the file if the change fails or creates no secret.
   * @throws OperatorError if it is not known whether the change was committed. The file stays then.
   */
  async around<Result>(change: () => Promise<Result>): Promise<Result> {
    try {
      const result = await change()
      await this.#requireShown()
      return result
    } catch (error) {
      // The change is committed. Only the output had no reader, so the file stays.
      if (error instanceof OutputClosed) {
        await this.#requireShown()
        throw error
      }
      if (this.#committing && !(error instanceof OperatorError)) {
        const secrets = this.#written
          ? `the secrets in ${this.path} are valid`
          : `the new secrets are valid, and nobody has seen them: ${replaceThem}`
        throw new OperatorError(
          `The connection broke during the commit, so the change may be committed or not. Run "bin/mintmark clients ` +
            `list" to see. If it is committed, ${secrets}.`,
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

  /** @throws OperatorError if secrets are valid and nobody can have seen them. */
  async #requireShown(): Promise<void> {
    if (!this.#committing || this.#file !== undefined) return
    const failure = await outputFailure()
    if (failure === undefined) return
    const problem = failure.code === 'EPIPE' ? 'its reader has gone away' : fileProblem(failure)
    throw new OperatorError(
      `Cannot write the output: ${problem}. The new secrets are valid, and nobody has seen them: ${replaceThem}.`,
    )
  }

  /** Writes one secret, alone on its line, so that `--secret-file` and $(cat …) can use the file. */
  deliverOne({ secret }: NewSecret): void {
    this.deliver(`${secret}\n`)
  }

  /** Tells a person about one new secret. */
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
    const { code } = error as NodeJS.ErrnoException
    const problem =
      code === 'EEXIST'
        ? 'exists already and is not overwritten. Name another file.'
        : `cannot be created: ${code === 'ENOENT' ? 'its directory does not exist; create it first' : fileProblem(error)}.`
    throw new OperatorError(`--${option}: ${path} ${problem}`, { cause: error })
  }
}
