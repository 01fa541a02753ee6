/** Thrown when a signal ends a command. The exit code is 128 plus the number of the signal, as in a shell. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  readonly exitCode: number

  constructor(signal: NodeJS.Signals) {
    super(signal)
    this.exitCode = signal === 'SIGINT' ? 130 : signal === 'SIGHUP' ? 129 : 143
  }
}
