/** The parts of an HTTP/1.1 answer that a load generator needs. */
export interface Answer {
  readonly status: number
  /** The size of head and body together. */
  readonly bytes: number
  readonly closes: boolean
  readonly retryAfterSeconds: number | undefined
}

const endOfHead = Buffer.from('\r\n\r\n')

/**
 * Reads the answer at the start of the received bytes.
 * @returns undefined while the answer is incomplete.
 * @throws if the answer has no content-length. This reader supports no other form.
 */
export function readAnswer(received: Buffer): Answer | undefined {
  const headLength = received.indexOf(endOfHead)
  if (headLength === -1) return undefined
  const head = received.toString('latin1', 0, headLength + 2).toLowerCase()
  const status = Number(head.slice(9, 12))
  const hasBody = status !== 204 && status !== 304
  const bodyLength = hasBody ? numberOf(head, 'content-length') : 0
  if (bodyLength === undefined || !(status >= 200)) {
    throw new Error(`an answer that this load generator cannot read: ${head.slice(0, 200)}`)
  }
  const bytes = headLength + endOfHead.length + bodyLength
  if (received.length < bytes) return undefined
  return {
    status,
    bytes,
    closes: head.includes('\r\nconnection: close\r\n'),
    retryAfterSeconds: numberOf(head, 'retry-after'),
  }
}

function numberOf(head: string, name: string): number | undefined {
  const start = head.indexOf(`\r\n${name}:`)
  if (start === -1) return undefined
  const number = Number(head.slice(start + name.length + 3, head.indexOf('\r\n', start + 2)))
  return Number.isNaN(number) ? undefined : number
}
