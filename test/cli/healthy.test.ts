/** The health check of the image, without a container: it asks the address of the service, whatever else is set. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { root, start } from '../support/process.ts'

test.each([
  ['alone', {}, 200, 0],
  ['of a service that is not ready', {}, 503, 1],
  ['with a proxy for all of Node', { NODE_USE_ENV_PROXY: '1', HTTP_PROXY: 'http://127.0.0.1:1' }, 200, 0],
] as const)('%s', async (_title, environment, status, code) => {
  const asked: (string | undefined)[] = []
  const server = createServer((request, response) => {
    asked.push(request.url)
    response.writeHead(status).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const given = { PORT: String(port), HOST: '0.0.0.0', ...environment }
  const outcome = await start(process.execPath, [`${root}bin/healthy.js`], { environment: given }).outcome
  expect([outcome.code, asked]).toEqual([code, ['/readyz']])
})
