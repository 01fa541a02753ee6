import type { Costs } from './measure.ts'
import type { OpenLoopResult } from './open-loop.ts'
import { median } from './statistics.ts'

/** Formats numbers for people. An unknown number is shown as unknown. */

const unknown = 'unknown'

export function number(value: number, digits = 0): string {
  if (Number.isNaN(value)) return unknown
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

export const perSecond = (rate: number): string => `${number(rate)}/s`
export const milliseconds = (value: number): string => `${number(value, value < 100 ? 2 : 0)} ms`
export const megabytes = (bytes: number): string => `${number(bytes / 1e6)} MB`
export const times = (values: readonly number[]): string => `${number(median(values), 2)} ×${range(values)}`

/**
 * The range from the lowest to the highest value, with a space before it; empty for fewer than two values.
 */
export function range(values: readonly number[], digits = 2): string {
  if (values.length < 2 || values.some(Number.isNaN)) return ''
  return ` (${number(Math.min(...values), digits)} to ${number(Math.max(...values), digits)})`
}

const cpu = (microseconds: number, signatures: number): string =>
  Number.isNaN(microseconds) ? unknown : `${number(signatures, 2)} S (${number(microseconds)} µs)`

export function describeCosts(costs: Costs): string {
  const { ratePerSecond, serverMicroseconds, serverSignatures, postgresSignatures } = costs
  return (
    `${perSecond(ratePerSecond)}, CPU ${cpu(serverMicroseconds, serverSignatures)}, ` +
    `PostgreSQL ${number(postgresSignatures, 2)} S, S = ${number(costs.signatureMicroseconds, 1)} µs`
  )
}

export function describeLatency(result: OpenLoopResult): string {
  const { p50Milliseconds, p99Milliseconds, p999Milliseconds, maxMilliseconds } = result
  const share = (value: number, what: string): string =>
    value === 0 ? '' : `, ${number(value * 100, 2)} % ${what}`
  return (
    `p50 ${milliseconds(p50Milliseconds)}, p99 ${milliseconds(p99Milliseconds)}, ` +
    `p99.9 ${milliseconds(p999Milliseconds)}, most ${milliseconds(maxMilliseconds)}` +
    share(result.lateShare, 'sent late') +
    share(result.waitedShare, 'waited for a connection')
  )
}

/** The median of one figure over all rounds. */
export const medianOf = <Result>(results: readonly Result[], figure: (result: Result) => number): number =>
  median(results.map(figure))

/** The CPU time of the server for one answer. */
export const serverCpu = (rounds: readonly Costs[]): string =>
  cpu(
    medianOf(rounds, (round) => round.serverMicroseconds),
    medianOf(rounds, (round) => round.serverSignatures),
  )

/** The CPU time of PostgreSQL for one answer. */
export const postgresCpu = (rounds: readonly Costs[]): string =>
  cpu(
    medianOf(rounds, (round) => round.postgresMicroseconds),
    medianOf(rounds, (round) => round.postgresSignatures),
  )

export const rateOf = (rounds: readonly Costs[]): string =>
  perSecond(medianOf(rounds, (round) => round.ratePerSecond))
