/** examples/mcp-server by its one command. What it is made of is tried in test/service/mcp.test.ts. */
import { readFileSync, writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { isAtHand } from '../support/openssl.ts'
import { freePort } from '../support/ports.ts'
import { root, start } from '../support/process.ts'

test.skipIf(!isAtHand('openssl') || !isAtHand('curl'))(
  'examples/mcp-server/run, once and again',
  async ({ database, service, files, track }) => {
    const url = `http://127.0.0.1:${await freePort()}/mcp`
    const registration = readFileSync(`${root}examples/mcp-server/registration.yaml`, 'utf8')
    writeFileSync(files.path('registration.yaml'), registration.replaceAll('http://127.0.0.1:8095/mcp', url))
    const { HOME = '' } = process.env
    const environment = {
      HOME,
      ISSUER: service.url,
      MCP_URL: url,
      PRIVATE_KEY_FILE: files.path('agent.key'),
      REGISTRATION: files.path('registration.yaml'),
      DATABASE_URL: database.url,
    }
    for (const time of ['once', 'again']) {
      const run = track(start(`${root}examples/mcp-server/run`, [], { environment, leadsGroup: true }))
      const { code, stdout, stderr } = await run.outcome
      expect({ time, code }, stderr).toEqual({ time, code: 0 })
      expect(stdout).toContain('{"sub":"mcp-agent","client_id":"mcp-agent","scope":"tools:use"}\n')
    }
  },
)
