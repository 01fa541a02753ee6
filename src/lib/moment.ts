/** Moments as text in RFC 3339. In the program a moment is a number of seconds since 1970. */

export const momentForm =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:\d\d)$/

/** Reads a date and time with its zone. @returns seconds since 1970; undefined for any other text. */
export function readMoment(text: string): number | undefined {
  const milliseconds = readMomentMilliseconds(text)
  return milliseconds === undefined ? undefined : Math.floor(milliseconds / 1000)
}

/** Like `readMoment`, in milliseconds since 1970. */
export function readMomentMilliseconds(text: string): number | undefined {
  const match = momentForm.exec(text)
  if (match === null) return undefined
  const milliseconds = Date.parse(text.toUpperCase().replace(' ', 'T'))
  // JavaScript reads the 30th of February as the 2nd of March.
  const [year = 0, month = 0, day = 0] = match.slice(1).map(Number)
  const isDay = day >= 1 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate()
  return Number.isNaN(milliseconds) || !isDay ? undefined : milliseconds
}

export const momentExample = '2027-01-31T23:59:59Z'

/** For libraries that take a Date. */
export const dateOf = (seconds: number): Date => new Date(seconds * 1000)

/** For example `2027-01-31T23:59:59Z`. */
export function momentText(seconds: number): string {
  const text = millisecondsText(seconds * 1000)
  return text.endsWith('Z') ? `${text.slice(0, -5)}Z` : text
}

/** The last moment that a Date can hold. PostgreSQL knows later ones, and `infinity`. */
export const lastMilliseconds = 8.64e15

/**
 * For example `2027-01-31T23:59:59.999Z`. A moment that somebody wrote by hand may have no date: such a one is
 * `infinity` or `-infinity`, as in PostgreSQL, or `unreadable`.
 */
export function millisecondsText(milliseconds: number): string {
  if (milliseconds >= lastMilliseconds) return 'infinity'
  if (milliseconds <= -lastMilliseconds) return '-infinity'
  return Number.isNaN(milliseconds) ? 'unreadable' : new Date(milliseconds).toISOString()
}

/** A moment for JSON, in which an absent moment is null. */
export function optionalMoment(seconds: number | undefined): string | null {
  return seconds === undefined ? null : momentText(seconds)
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 }

/** Reads a duration like `90d`. @returns seconds; undefined for any other text. */
export function readDuration(text: string): number | undefined {
  const match = /^(\d{1,6})([smhdw])$/.exec(text)
  return match === null ? undefined : Number(match[1]) * (unitSeconds[match[2] as string] as number)
}
