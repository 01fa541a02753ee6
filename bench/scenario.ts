import type { TargetName } from './targets.ts'
import type { World } from './world.ts'

/** One row of the result. */
export interface Row {
  readonly what: string
  readonly measured: string
  /** The value that it is compared with: a peer, or the same measurement without disturbance. */
  readonly beside?: string
  /** The target of the row, and the number that is compared with it. NaN if the number is unknown. */
  readonly target?: { readonly name: TargetName; readonly value: number }
  /** The reason why the numbers are worthless, if they are. */
  readonly worthless?: string | undefined
  /** How it was measured, if that is not obvious. */
  readonly note?: string
}

/** A question with a measurement that answers it. scenarios.ts lists all scenarios. */
export interface Scenario {
  readonly name: string
  /** The question that it answers. */
  readonly question: string
  run(world: World): Promise<readonly Row[]>
}

/** The row of a measurement that is not possible here. */
export function skipped(what: string, why: string): Row {
  return { what, measured: 'skipped', note: why }
}
