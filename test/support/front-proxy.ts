import type { ChildProcess } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connected } from './mtls.ts'

/** A proxy in front of a service, which ends TLS. */
export interface FrontProxy {
  readonly url: string
  /** The path of one of its files. */
  readonly path: (name: string) => string
  close(): Promise<void>
}

/** @param child has standard error as a pipe. @param directory its files, which are removed with it. */
export async function untilItAnswers(
  name: string,
  child: ChildProcess,
  directory: string,
  port: number,
): Promise<FrontProxy> {
  let output = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const url = `https://127.0.0.1:${port}`
  while (!(await answers(url))) {
    if (child.exitCode !== null) throw new Error(`${name} ended:\n${output}`)
    await sleep(20)
  }
  return {
    url,
    path: (file) => join(directory, file),
    async close() {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      if (child.exitCode === null) await ended
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    const socket = await connected(url, {})
    socket.destroy()
    return true
  } catch {
    return false
  }
}
