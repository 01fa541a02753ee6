/** Waits for something, but not for ever. What comes too late is let go of. */
export function withDeadline<Value>(
  promise: Promise<Value>,
  milliseconds: number,
  tooLate: () => Error,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(tooLate()), milliseconds)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
