/** The first lines of docs/guides/relying-services.md, which are those of our own packages, run as they stand there. */
import { expect, test as plainTest } from 'vitest'
import { openPythonEnvironment } from '../../packages/python/test/environment.ts'
import { test } from '../support/fixtures.ts'
import { root, start } from '../support/process.ts'
import { basic, invoices, orders, registerClient } from '../support/service.ts'

const python = openPythonEnvironment()
if (typeof python === 'string')
  plainTest(`NOT TESTED: the lines of the guide in Python, because ${python}`, () => {})
const files = [
  'fastify.mjs',
  'http.mjs',
  ...(typeof python === 'string' ? [] : ['fastapi_.py', 'django_.py']),
]

test('the lines accept a token for their audience with their scope, and no other', async ({
  database,
  service,
  track,
}) => {
  const client = await registerClient(database, {
    access: { [orders]: ['orders:read', 'orders:write'], [invoices]: ['invoices:read'] },
  })
  const request = async (resource: string, scope: string): Promise<string> => {
    const response = await fetch(`${service.url}/token`, {
      method: 'POST',
      headers: { authorization: basic(client.clientId, client.secret) },
      body: new URLSearchParams({ grant_type: 'client_credentials', resource, scope }),
    })
    return ((await response.json()) as { access_token: string }).access_token
  }
  const good = await request(orders, 'orders:read')
  const foreign = await request(invoices, 'invoices:read')
  const narrow = await request(orders, 'orders:write')
  for (const file of files) {
    const run = (TOKEN: string) => {
      const environment = { ISSUER: service.url, AUDIENCE: orders, TOKEN }
      const path = `${root}test/interop/ours/${file}`
      if (file.endsWith('.py') && typeof python !== 'string')
        return start(python.python, [path], { environment: { ...environment, ...python.environment } })
      const words = ['--conditions=@mintmark/source', '--disable-warning=ExperimentalWarning', path]
      return start(process.execPath, words, { environment })
    }
    const outcomes = await Promise.all([good, foreign, narrow].map((token) => track(run(token)).outcome))
    expect(outcomes, file).toMatchObject([
      { code: 0, stdout: `${client.clientId}\n` },
      { code: 1, stdout: expect.stringContaining('invalid_token') },
      { code: 1, stdout: expect.stringContaining('insufficient_scope') },
    ])
  }
})
