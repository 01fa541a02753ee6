import { lstat, unlink } from 'node:fs/promises'
import { connect } from 'node:net'

/**
 * Removes the socket of a process that was killed: the file stays, but no process listens there. One process calls
 * this, once, before anything listens: two of them could remove each other's.
 */
export async function removeDeadSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (found?.isSocket() !== true || (await isAlive(path))) return
  await unlink(path).catch(() => {})
}

async function isAlive(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ path })
    const answer = (alive: boolean) => () => {
      socket.destroy()
      resolve(alive)
    }
    socket.once('connect', answer(true))
    socket.once('error', (error: NodeJS.ErrnoException) => answer(error.code !== 'ECONNREFUSED')())
  })
}
