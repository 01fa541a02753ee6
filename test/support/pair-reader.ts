import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { isMainThread, workerData } from 'node:worker_threads'

/**
 * A thread that reads pairs of files again and again, until flag 0 tells it to stop. It counts the certificates that it
 * has seen (flag 1), and how often it found the key of another beside one, or no link where the link was replaced (flag 2).
 */
export const pairReader = new URL(import.meta.url)

if (!isMainThread && workerData?.flags instanceof Int32Array) read(workerData)

function read({ flags, kept, changed }: { flags: Int32Array; kept: string; changed: string }): void {
  const seen = new Set<string>()
  const look = (directory: string): void => {
    const files = [`${directory}/tls.crt`, `${directory}/tls.key`].map(contentOf)
    const [certificate, key] = files
    // It was slow: two renewals later the files are deleted.
    if (certificate === undefined || key === undefined) return
    const read = new X509Certificate(certificate)
    if (!read.checkPrivateKey(createPrivateKey(key))) Atomics.add(flags, 2, 1)
    seen.add(read.serialNumber)
  }
  while (Atomics.load(flags, 0) === 0) {
    look(kept)
    look(`${changed}/${follow(`${changed}/..data`)}`)
    // That costs little, so it sees more moments.
    for (let count = 0; count < 5_000; count += 1) {
      if (follow(`${changed}/..data`) === undefined) Atomics.add(flags, 2, 1)
    }
    Atomics.store(flags, 1, seen.size)
  }
}

function follow(link: string): string | undefined {
  try {
    return readlinkSync(link)
  } catch {
    return undefined
  }
}

function contentOf(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch {
    return undefined
  }
}
