/** Guessing which client a certificate is for is limited, tells nothing, and shuts nobody out. */
import https from 'node:https'
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

test('a wrong certificate takes as long for a client that exists as for a name that does not', async ({
  startService,
  database,
}) => {
  const limits = { MINTMARK_FAILURES_PER_CLIENT_MAX: '1000000', MINTMARK_FAILURES_PER_ADDRESS_MAX: '1000000' }
  const { url } = await startService({ environment: { ...mtlsSettings(root), ...limits } })
  await registerCertificateClient(database, { clientId: 'client-eeeeeeee', field: ['san_dns', 'own.td'] })
  expect((await tokenOver(url, { client_id: 'client-eeeeeeee' }, callerOf(own))).status).toBe(200)
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ...callerOf(foreign) })
  const times: [number[], number[]] = [[], []]
  for (let round = 0; round < 300; round += 1) {
    for (const which of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const startedAt = performance.now()
      await tokenOver(url, { client_id: which === 0 ? 'client-eeeeeeee' : 'client-ffffffff' }, { agent })
      times[which]?.push(performance.now() - startedAt)
    }
  }
  agent.destroy()
  // Mann and Whitney: a half if the two cannot be told apart. With hundreds of tries, chance stays within a twentieth.
  const longer = times[0].flatMap((one) =>
    times[1].map((other): number => (one > other ? 1 : one === other ? 0.5 : 0)),
  )
  const chance = longer.reduce((sum, each) => sum + each, 0) / longer.length
  expect(chance).toBeGreaterThan(0.4)
  expect(chance).toBeLessThan(0.6)
})
