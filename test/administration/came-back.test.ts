import { expect, test } from 'vitest'
import { type ChangeRecord, findCameBack, type RegisteredState } from '../../src/administration/came-back.ts'

const now = Date.parse('2027-01-31T12:00:00Z') / 1000

const state = (liveSecrets: ReadonlyMap<string, number | undefined>): RegisteredState => ({
  clients: new Map(),
  liveSecrets,
  liveClientKeys: new Set(),
  access: new Map(),
  resources: new Map(),
  liveKeys: new Set(),
  trust: { issuers: new Map(), rules: new Map(), blockedWorkloads: new Set() },
})

const ended = (outcome: 'changed' | 'ended', to: string): ChangeRecord => ({
  type: 'secret',
  outcome,
  time: '2027-01-30T12:00:00Z',
  client_id: 'billing',
  credential_id: 'k3v9x2ab',
  detail: { changes: { expires_at: { to } } },
})

test.each(['changed', 'ended'] as const)(
  'a secret that was replaced and has no end any more came back: %s',
  (outcome) => {
    const records = [ended(outcome, '2027-01-31T11:00:00Z')]
    const found = (end: number | undefined) => findCameBack(records, state(new Map([['k3v9x2ab', end]])), now)
    const came = { kind: 'secret_expires_later', clientId: 'billing', secretId: 'k3v9x2ab' }
    expect(found(undefined)).toEqual([expect.objectContaining(came)])
    expect(found(now + 60)).toEqual([expect.objectContaining(came)])
    expect(found(now - 3_600)).toEqual([])
    expect(findCameBack(records, state(new Map()), now)).toEqual([])
  },
)

test('one that was revoked later is told once, as one that is alive', () => {
  const revoked = {
    ...ended('changed', '2027-02-01T00:00:00Z'),
    time: '2027-01-30T13:00:00Z',
    outcome: 'revoked',
  }
  const records = [ended('changed', '2027-02-01T00:00:00Z'), revoked]
  const found = findCameBack(records, state(new Map([['k3v9x2ab', undefined]])), now)
  expect(found.map(({ kind }) => kind)).toEqual(['secret_alive'])
})
