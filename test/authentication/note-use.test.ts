import { expect, test, vi } from 'vitest'
import { noteUse } from '../../src/authentication/authenticate.ts'
import type { AdmittedCredentials, Proof, UseEdges } from '../../src/authentication/method.ts'
import { workloadId } from '../../src/registry/issuer.ts'

/** What was noted, and of whom. */
function noted(method: string, clientId: string, proof: object): Record<string, unknown[]> {
  const notes: Record<string, ReturnType<typeof vi.fn>> = {
    secretUses: vi.fn(),
    keyUses: vi.fn(),
    workloadUses: vi.fn(),
    clientUses: vi.fn(),
  }
  const edges = Object.fromEntries(Object.entries(notes).map(([name, note]) => [name, { note }]))
  const credentials = { method, clientId } as unknown as AdmittedCredentials
  noteUse(edges as unknown as UseEdges, credentials, proof as Proof, { time: 1_000 })
  return Object.fromEntries(
    Object.entries(notes).flatMap(([name, { mock }]) =>
      mock.calls.length === 0 ? [] : [[name, mock.calls]],
    ),
  )
}

test('the use of a client is noted once, beside that of what proved it', () => {
  const proof = { credentialId: 'thumbprint', assertion: { audience: 'issuer' } }
  expect(noted('private_key_jwt', 'billing', proof)).toEqual({
    clientUses: [['billing', 1_000]],
    keyUses: [[{ clientId: 'billing', thumbprint: 'thumbprint', time: 1_000, audience: 'issuer' }]],
  })
})

test('a client that authenticates with an assertion of another issuer is noted as a client, and a workload as a workload', () => {
  const facts = { issuer: 'https://ci.example.com', subject: 'job:1' }
  const proof = { credentialId: 'deploy', federated: { facts } }
  expect(noted('federated_jwt', 'billing', proof)).toEqual({ clientUses: [['billing', 1_000]] })
  const id = workloadId(facts.issuer, facts.subject)
  expect(noted('federated_jwt', id, proof)).toEqual({
    workloadUses: [[{ workloadId: id, ...facts, rule: 'deploy', time: 1_000 }]],
  })
})
