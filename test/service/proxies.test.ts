import { expect } from 'vitest'
import { sharedTest } from '../support/fixtures.ts'
import { startService, type TestService } from '../support/service.ts'

/** Whose word counts about where a request comes from. */

const test = sharedTest
  .extend('behindProxy', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const service = await startService({ database, environment: { MINTMARK_TRUSTED_PROXIES: '127.0.0.1' } })
    onCleanup(() => service.close())
    return service
  })
  .extend('direct', { scope: 'file' }, async ({ database }, { onCleanup }) => {
    const service = await startService({ database })
    onCleanup(() => service.close())
    return service
  })

/** The address in the record of a refused request. */
async function recordedAddress(service: TestService, forwardedFor: string): Promise<unknown> {
  const response = await fetch(`${service.url}/token`, {
    method: 'POST',
    headers: { 'x-forwarded-for': forwardedFor, 'content-type': 'application/x-www-form-urlencoded' },
    body: 'grant_type=client_credentials',
  })
  const [record] = await service.database.query('SELECT address FROM audit_record WHERE request_id = $1', [
    response.headers.get('x-request-id'),
  ])
  return record?.['address']
}

test('a trusted proxy says it, and of what it passes on only the last address counts', async ({
  behindProxy,
}) => {
  expect(await recordedAddress(behindProxy, '203.0.113.9')).toBe('203.0.113.9')
  expect(await recordedAddress(behindProxy, '198.51.100.1, 203.0.113.9:4711')).toBe('203.0.113.9')
})

test('what is no address is withheld', async ({ behindProxy }) => {
  expect(await recordedAddress(behindProxy, 'hunter2')).toMatch(/^\[withheld: length 7, hash [0-9a-f]{16}\]$/)
})

test('nobody else is believed', async ({ direct }) => {
  expect(await recordedAddress(direct, '203.0.113.9')).toBe('127.0.0.1')
})
