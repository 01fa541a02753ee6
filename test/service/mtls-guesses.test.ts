/** Guessing which client a certificate is for is limited, tells nothing, and shuts nobody out. */
import { expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { callerOf, mtlsSettings, outcomeOf, registerCertificateClient, tokenOver } from '../support/mtls.ts'
import { general, makeCa, makeCertificate } from '../support/x509.ts'

const root = makeCa('CN=Root')
const named = (name: string) => makeCertificate(root, { names: [general.dns(name)] })
const [own, foreign] = [named('own.td'), named('foreign.td')]

test('whoever has the certificate is served, however often others guessed', async ({
  startService,
  database,
}) => {
  const environment = {
    ...mtlsSettings(root),
    MINTMARK_FAILURES_PER_CLIENT_MAX: '2',
    MINTMARK_FAILURES_PER_ADDRESS_MAX: '4',
  }
  const { clientId } = await registerCertificateClient(database, { field: ['san_dns', 'own.td'] })
  const first = await startService({ environment })
  const ask = async (url: string, id: string, certificate = foreign) =>
    outcomeOf(database, await tokenOver(url, { client_id: id }, callerOf(certificate)))
  const guesses: string[] = []
  for (let round = 0; round < 4; round += 1) guesses.push(await ask(first.url, clientId))
  expect(guesses).toEqual([
    'certificate_subject_mismatch',
    'certificate_subject_mismatch',
    'failures_of_client',
    'failures_of_client',
  ])
  expect(await ask(first.url, 'nobody')).toBe('failures_of_address')
  expect(await ask(first.url, clientId, own)).toBe('issued')
  // One that has just been registered, which this process has never heard of.
  const late = await registerCertificateClient(database, { field: ['san_dns', 'own.td'] })
  expect(await ask(first.url, late.clientId, own)).toBe('issued')
  // A certificate that has expired is no guess.
  const expired = makeCertificate(root, { names: [general.dns('own.td')], until: -5 })
  const second = await startService({ environment })
  for (let round = 0; round < 6; round += 1)
    expect(await ask(second.url, clientId, expired)).toBe('certificate_expired')
})

test('a field that was changed counts at once, also where memory has the old one', async ({
  startService,
  database,
}) => {
  const running = await startService({ environment: mtlsSettings(root) })
  const { clientId } = await registerCertificateClient(database, { field: ['san_dns', 'own.td'] })
  const ask = async (certificate = own) =>
    outcomeOf(database, await tokenOver(running.url, { client_id: clientId }, callerOf(certificate)))
  const set = (name: string) =>
    database.query('UPDATE client SET certificate_value = $2 WHERE client_id = $1', [clientId, name])
  expect(await ask()).toBe('issued')
  for (const [name, wanted] of [
    ['foreign.td', ['certificate_subject_mismatch', 'issued']],
    ['own.td', ['issued', 'certificate_subject_mismatch']],
  ] as const) {
    await set(name)
    expect([await ask(), await ask(foreign)]).toEqual(wanted)
  }
  // First the one that has just been given it.
  await set('foreign.td')
  expect([await ask(foreign), await ask()]).toEqual(['issued', 'certificate_subject_mismatch'])
})
