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
  serviceCpu: { text: '≤ 4.0 S (aim 3.2)', most: 4 },
  postgresCpu: { text: '≤ 1 S', most: 1 },
  besideOidcProvider: { text: '≥ 4 × (aim 5)', least: 4 },
  besidePlain: { text: '≥ 2.5 ×', least: 2.5 },
  /** The 99th percentile minus that of the wait for one commit, divided by that of the bare route. */
  latencyBesideBare: { text: '≤ 2 ×, plus one commit', most: 2 },
  latencyInFlood: { text: '≤ 1.5 ×', most: 1.5 },
  manyClients: { text: '≥ 0.9', least: 0.9 },
  changingRegistry: { text: '≥ 0.9', least: 0.9 },
  /** The share of clients that got a token. */
  coldServed: { text: 'all', least: 1 },
  handshake: { text: '≤ 1.6 ×', most: 1.6 },
  twoProcesses: { text: '≥ 1.7 ×', least: 1.7 },
  ledgerBytes: { text: '≤ 400', most: 400 },
  readySeconds: { text: '≤ 0.5 s', most: 0.5 },
  residentMegabytes: { text: '≤ 160 MB', most: 160 },
} as const satisfies Record<string, Target>

export type TargetName = keyof typeof targets

export function isMet(name: TargetName, value: number): boolean {
  const { least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY }: Target = targets[name]
  return value >= least && value <= most
}
