import { type KeyState, type ScheduleSettings, type SiblingKey, stateAmong } from '../../keys/state.ts'
import { momentText } from '../../lib/moment.ts'
import { plainText } from '../../lib/plain-text.ts'

/** Draws the lives of the signing keys: a row for each key, time from left to right, and a mark for now. */

const marks: Readonly<Partial<Record<KeyState, string>>> = { published: '░', signing: '█', retiring: '▒' }
const legend = '░ published, not signing yet   █ signing   ▒ retiring   × revoked   │ now'

/** The drawing has at least this many columns for time, also where the terminal has fewer. */
const spanMin = 24

export function drawTimeline(
  keys: readonly SiblingKey[],
  settings: ScheduleSettings,
  now: number,
  width: number,
): string {
  const earliest = now - settings.keyLifetimeSeconds
  const shown = keys.filter((key) => (key.revokedAt ?? key.publishedUntil) > earliest)
  if (shown.length === 0) return ''
  const labels = shown.map((key) => plainText(`${key.algorithm} ${key.generation} ${key.kid.slice(0, 8)}`))
  const margin = Math.max(...labels.map(({ length }) => length)) + 2
  const span = Math.max(spanMin, width - margin)
  const start = Math.max(earliest, Math.min(now, ...shown.map(({ publishedAt }) => publishedAt)))
  // A row that is not verified may say anything. It must not make the other rows too narrow to read.
  const latest = now + 4 * settings.keyLifetimeSeconds
  const end = Math.min(latest, Math.max(now + 1, ...shown.map((key) => key.revokedAt ?? key.publishedUntil)))
  const columnOf = (at: number): number =>
    Math.min(span - 1, Math.max(0, Math.floor(((at - start) / (end - start)) * span)))
  const nowColumn = columnOf(now)

  const row = (key: SiblingKey): string =>
    Array.from({ length: span }, (_, column) => {
      if (key.revokedAt !== undefined && columnOf(key.revokedAt) === column) return '×'
      if (column === nowColumn) return '│'
      const at = start + ((column + 0.5) / span) * (end - start)
      return marks[stateAmong(key, shown, settings, at, now)] ?? ' '
    })
      .join('')
      .trimEnd()
  const rows = shown.map((key, index) => `${(labels[index] ?? '').padEnd(margin)}${row(key)}`)
  const lines = [`${' '.repeat(margin)}${axis(start, end, nowColumn, span)}`, ...rows, '', legend]
  return lines.map((line) => `${line.trimEnd()}\n`).join('')
}

/** The first and last time of the drawing, and `now` above its column, where there is room. */
function axis(start: number, end: number, nowColumn: number, span: number): string {
  // The day is enough where the drawing covers more than ten days; otherwise the time is needed.
  const shown = (at: number): string =>
    end - start > 10 * 86_400 ? momentText(at).slice(0, 10) : momentText(at).slice(5).replace('T', ' ')
  const cells = Array.from({ length: span }, () => ' ')
  const write = (text: string, at: number): void => {
    const from = Math.max(0, Math.min(span - text.length, at))
    const free = cells.slice(Math.max(0, from - 1), from + text.length + 1).every((cell) => cell === ' ')
    if (free) cells.splice(from, text.length, ...text)
  }
  write('now', nowColumn - 1)
  write(shown(start), 0)
  write(shown(end), span)
  return cells.join('')
}
