/** Rejects with `tooLate()` if the promise takes longer than the given time. A later result is ignored. */
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
