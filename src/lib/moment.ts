// biome-ignore-all lint/style/noRestrictedGlobals: calendar arithmetic on given moments; no clock is read here.

/** Moments as people write and read them: RFC 3339. Inside, a moment is seconds since 1970. */

export const momentForm =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:\d\d)$/

/** A date and a time that say which zone they are in, in seconds since 1970; undefined for anything else. */
export function readMoment(text: string): number | undefined {
  const milliseconds = readMomentMilliseconds(text)
  return milliseconds === undefined ? undefined : Math.floor(milliseconds / 1000)
}

/** The same in milliseconds. */
export function readMomentMilliseconds(text: string): number | undefined {
  const match = momentForm.exec(text)
  if (match === null) return undefined
  const milliseconds = Date.parse(text.toUpperCase().replace(' ', 'T'))
  // JavaScript takes the 30th of February for the 2nd of March.
  const [year = 0, month = 0, day = 0] = match.slice(1).map(Number)
  const isDay = day >= 1 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate()
  return Number.isNaN(milliseconds) || !isDay ? undefined : milliseconds
}

export const momentExample = '2027-01-31T23:59:59Z'

/** `2027-01-31T23:59:59Z`. */
export function momentText(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, -5)}Z`
}

/** `2027-01-31T23:59:59.999Z`. */
export function millisecondsText(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}

/** For JSON, where never is null. */
export function optionalMoment(seconds: number | undefined): string | null {
  return seconds === undefined ? null : momentText(seconds)
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 }

/** `90d` and the like, in seconds; undefined for anything else. */
export function readDuration(text: string): number | undefined {
  const match = /^(\d{1,6})([smhdw])$/.exec(text)
  return match === null ? undefined : Number(match[1]) * (unitSeconds[match[2] as string] as number)
}
