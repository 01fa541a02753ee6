import { generateKeyPairSync, sign } from 'node:crypto'

/**
 * Measures the unit S: the CPU time of one raw ES256 signature on this machine at this moment, in
 * microseconds. For each message of its parent, this process signs for a while and answers with the mean.
 * Nothing else should run then.
 */
const signatures = 4_000
const warmUpSignatures = 500

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
/** About the size of the signed part of an access token. */
const data = Buffer.alloc(400, 'a')

function signMany(count: number): void {
  for (let number = 0; number < count; number += 1) sign('sha256', data, privateKey)
}

process.on('message', () => {
  signMany(warmUpSignatures)
  const before = process.cpuUsage()
  signMany(signatures)
  const { user, system } = process.cpuUsage(before)
  process.send?.((user + system) / signatures)
})
process.on('disconnect', () => process.exit())
signMany(signatures)
process.send?.(0)
