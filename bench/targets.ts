/**
 * All targets of the service. Every target is a ratio of two values measured in the same run, or it does not
 * depend on the speed of the machine. A row of the result names its target.
 */
export interface Target {
  /** The condition, as text for people. */
  readonly text: string
  readonly least?: number
  readonly most?: number
}

export const targets = {
  /** One S is the CPU time of one raw ES256 signature. */
  serviceCpu: { text: '≤ 3.2 S', most: 3.2 },
  /** The CPU time of a token, divided by that of the floor. */
  besideFloor: { text: '≤ 1.18 ×', most: 1.18 },
  /** The service and PostgreSQL, for a token by private_key_jwt. Verifying costs two to three S. */
  assertionCpu: { text: '≤ 7.5 S', most: 7.5 },
  /** The same for a token that is bound to a key by a DPoP proof. */
  dpopCpu: { text: '≤ 8 S', most: 8 },
  /** The same for a token by the assertion of another issuer. */
  federationCpu: { text: '≤ 8 S', most: 8 },
  postgresCpu: { text: '≤ 1 S', most: 1 },
  besideOidcProvider: { text: '≥ 4 × (aim 5)', least: 4 },
  besidePlain: { text: '≥ 2.5 ×', least: 2.5 },
  /** The 99th percentile minus that of the wait for one commit, divided by that of the bare route. */
  latencyBesideBare: { text: '≤ 2 ×, plus one commit', most: 2 },
  latencyInFlood: { text: '≤ 1.1 ×', most: 1.1 },
  /** How far the area under the curve of two lists of times is from a half. */
  guessesTellApart: { text: 'within 0.02 of 0.5', most: 0.02 },
  memoryAfterGuesses: { text: '≤ 1.1 ×', most: 1.1 },
  latencyBesideStrangers: { text: '≤ 1.2 ×', most: 1.2 },
  latencyInDeployment: { text: '≤ 2 ×', most: 2 },
  manyClients: { text: '≥ 0.9', least: 0.9 },
  changingRegistry: { text: '≥ 0.9', least: 0.9 },
  /** The share of clients that got a token. */
  coldServed: { text: 'all', least: 1 },
  /** Seconds until ten thousand clients have their tokens after a restart. */
  coldSeconds: { text: '≤ 5 s', most: 5 },
  /** S above a token by secret over the same connections. */
  certificateAboveSecret: { text: '≤ 0.3 S above', most: 0.3 },
  handshake: { text: '≤ 1.6 ×', most: 1.6 },
  /** Tokens that were not seen before, per CPU second, beside jose. */
  verifyCold: { text: '≥ 2 ×', least: 2 },
  /** A token that was verified before, in S. */
  verifyWarm: { text: '≤ 0.05 S', most: 0.05 },
  twoProcesses: { text: '≥ 1.7 ×', least: 1.7 },
  ledgerBytes: { text: '≤ 400', most: 400 },
  readySeconds: { text: '≤ 0.5 s', most: 0.5 },
  /** With the launcher. */
  residentMegabytes: { text: '≤ 200 MB', most: 200 },
} as const satisfies Record<string, Target>

export type TargetName = keyof typeof targets

export function isMet(name: TargetName, value: number): boolean {
  const { least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY }: Target = targets[name]
  return value >= least && value <= most
}
