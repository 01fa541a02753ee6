/** With a sealed registry, a certificate that somebody writes into the database proves nothing, and none less is asked for. */
import { expect } from 'vitest'
import { reviewRegistry, sealRegistry } from '../../src/administration/seal-registry.ts'
import { updateClient } from '../../src/administration/update.ts'
import { test } from '../support/fixtures.ts'
import { callerOf, mtlsSettings, outcomeOf, tokenOver } from '../support/mtls.ts'
import { createResources, createTestClient, sealedContext, sealedSetting } from '../support/sealed.ts'
import { basic } from '../support/service.ts'
import { general, makeCa, makeCertificate, type TestCertificate } from '../support/x509.ts'

const root = makeCa('CN=Root')
const named = (name: string) => makeCertificate(root, { names: [general.dns(name)] })
const [own, foreign] = [named('own.td'), named('foreign.td')]
const dns = (value: string) => ({ name: 'tls_client_auth_san_dns', value }) as const

test('a certificate counts as far as a holder of the key-encryption key registered it', async ({
  startService,
  database,
}) => {
  const running = await startService({ environment: { ...sealedSetting, ...mtlsSettings(root) } })
  const context = sealedContext(running.service.database)
  await createResources(context)
  await createTestClient(context, 'certified', {
    tokenEndpointAuthMethod: 'tls_client_auth',
    certificateField: dns('own.td'),
  })
  const client = await createTestClient(context, 'accompanied', {
    tokenEndpointAuthMethod: 'client_secret_basic',
    requiredCertificate: dns('own.td'),
    certificateBoundTokens: true,
  })
  const free = await createTestClient(context, 'free')
  const certified = async (certificate = own) =>
    outcomeOf(database, await tokenOver(running.url, { client_id: 'certified' }, callerOf(certificate)))
  const bySecret = async ({ clientId, secret }: typeof client, ...chain: readonly TestCertificate[]) => {
    const headers = { authorization: basic(clientId, secret) }
    return outcomeOf(database, await tokenOver(running.url, {}, { ...callerOf(...chain), headers }))
  }
  const set = (clientId: string, columns: string) =>
    database.query(`UPDATE client SET ${columns} WHERE client_id = $1`, [clientId])
  expect([await certified(), await bySecret(client, own), await bySecret(free)]).toEqual(
    Array(3).fill('issued'),
  )

  // What gives counts for nothing.
  await set('certified', `certificate_value = 'foreign.td'`)
  expect([await certified(foreign), await certified(own)]).toEqual([
    'client_has_no_certificate',
    'certificate_subject_mismatch',
  ])
  await set('certified', `certificate_value = 'own.td'`)
  expect(await certified()).toBe('issued')
  await set('accompanied', 'required_certificate_field = NULL, required_certificate_value = NULL')
  expect([await bySecret(client), await bySecret(client, foreign)]).toEqual([
    'certificate_missing',
    'certificate_subject_mismatch',
  ])
  await set(
    'accompanied',
    `required_certificate_field = 'tls_client_auth_san_dns', required_certificate_value = 'foreign.td'`,
  )
  expect([await bySecret(client, foreign), await bySecret(client, own)]).toEqual(
    Array(2).fill('registration_unsealed'),
  )
  await set('accompanied', `required_certificate_value = 'own.td', certificate_bound_tokens = false`)
  expect(await bySecret(client, own)).toBe('issued')

  // What takes away counts at once.
  await set('free', 'certificate_bound_tokens = true')
  expect(await bySecret(free)).toBe('certificate_missing')
  await set('certified', 'certificate_field = NULL, certificate_value = NULL')
  expect(await certified()).toBe('client_has_no_certificate')
  await set('certified', `certificate_field = 'tls_client_auth_san_uri', certificate_value = 'urn:x'`)

  const review = await reviewRegistry(context)
  expect(review.problems).toEqual([
    { subject: 'client', id: 'accompanied', differences: ['certificate_bound_tokens'] },
    { subject: 'client', id: 'certified', differences: ['certificate'] },
  ])
  await sealRegistry(context, review)
  expect((await reviewRegistry(context)).problems).toEqual([])
  await updateClient(context, 'certified', (words) => {
    const { tls_client_auth_san_uri: _, ...others } = words
    return { ...others, tls_client_auth_san_dns: 'foreign.td' }
  })
  expect([await certified(foreign), await certified(own)]).toEqual(['issued', 'certificate_subject_mismatch'])
})
