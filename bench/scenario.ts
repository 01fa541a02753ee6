import type { TargetName } from './targets.ts'
import type { World } from './world.ts'

/** One line of the result. */
export interface Row {
  readonly what: string
  readonly measured: string
  /** What it stands beside: a peer, or the same in quiet. */
  readonly beside?: string
  /** The target it is held to, and the number that is compared with it; NaN when it is unknown. */
  readonly target?: { readonly name: TargetName; readonly value: number }
  /** Why the numbers say nothing, if they do not. */
  readonly worthless?: string | undefined
  /** How it was measured, where that is not plain. */
  readonly note?: string
}

/** One question, and how it is answered. Registered in scenarios.ts, and nowhere else. */
export interface Scenario {
  readonly name: string
  /** The question it answers. */
  readonly question: string
  run(world: World): Promise<readonly Row[]>
}

/** The row of what could not be measured here. */
export function skipped(what: string, why: string): Row {
  return { what, measured: 'skipped', note: why }
}
