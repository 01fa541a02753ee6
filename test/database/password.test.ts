import { type AddressInfo, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { checkConnection } from '../../src/database/check.ts'

/** A server that answers the messages of a client, one after the other, and does no more. */
async function answeringServer(answers: readonly Buffer[]): Promise<{ url: string; close: () => void }> {
  const server = createServer((socket) => {
    const left = [...answers]
    socket.on('error', () => {})
    socket.on('data', () => {
      const next = left.shift()
      if (next !== undefined) socket.write(next)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `postgresql://somebody@127.0.0.1:${port}/mintmark`, close: () => server.close() }
}

function message(type: string, body: string): Buffer {
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(4 + Buffer.byteLength(body), 1)
  return Buffer.concat([head, Buffer.from(body)])
}

const refused = message('E', 'SFATAL\0C28P01\0Mempty password returned by client\0\0')

test.each([
  ['SCRAM', [message('R', '\0\0\0\nSCRAM-SHA-256\0\0'), message('R', '\0\0\0\x0br=x,s=eA==,i=4096')]],
  ['MD5', [message('R', '\0\0\0\x05salt'), refused]],
  ['clear text', [message('R', '\0\0\0\x03'), refused]],
])('a server that asks for a password (%s), and a URL without one: said in words', async (_name, answers) => {
  const { url, close } = await answeringServer(answers)
  try {
    await expect(checkConnection(url)).rejects.toThrow(
      /^DATABASE_URL: .* asks for a password, and the URL has none/,
    )
  } finally {
    close()
  }
})
