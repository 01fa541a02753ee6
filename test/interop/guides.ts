import { readFileSync } from 'node:fs'
import { extname, join } from 'node:path'

/**
 * The parts of the guides that come from here: tables of what was run, between `<!-- table: NAME -->` and
 * `<!-- end -->`, and the code that was run, after `<!-- snippet: FILE -->`.
 */
const languages: Readonly<Record<string, string>> = {
  '.mjs': 'js',
  '.py': 'python',
  '.go': 'go',
  '.java': 'java',
  '.rs': 'rust',
  '.sh': 'sh',
  '.rb': 'ruby',
  '.php': 'php',
  '.pl': 'perl',
}

/** What stands between the marks of a program, without its indentation. Several pieces have an empty line between them. */
export function snippetOf(file: string): string {
  const text = readFileSync(join(import.meta.dirname, file), 'utf8')
  const pieces = [...text.matchAll(/^[ \t]*(?:\/\/|#) --- snippet\n([\s\S]*?)^[ \t]*(?:\/\/|#) --- end$/gm)]
  if (pieces.length === 0) throw new Error(`${file} has no snippet`)
  return pieces.map(([, piece = '']) => withoutIndentation(piece)).join('\n\n')
}

function withoutIndentation(piece: string): string {
  const lines = piece.trimEnd().split('\n')
  const indents = lines.filter((line) => line !== '').map((line) => /^[ \t]*/.exec(line)?.[0].length ?? 0)
  const indent = Math.min(...indents)
  return lines.map((line) => line.slice(indent)).join('\n')
}

const snippet = /<!-- snippet: (\S+) -->\n(?:```\w*\n[\s\S]*?^```$)?/gm

export function withSnippets(guide: string): string {
  return guide.replace(snippet, (_all, file: string) => {
    const language = languages[extname(file)] ?? ''
    return `<!-- snippet: ${file} -->\n\`\`\`${language}\n${snippetOf(file)}\n\`\`\``
  })
}

/** The rows of a table that a guide has, by the toolchain in their first cell. */
export function rowsIn(guide: string, name: string): readonly (readonly string[])[] {
  const place = new RegExp(`<!-- table: ${name} -->\\n([\\s\\S]*?)<!-- end -->`)
  const lines = (place.exec(guide)?.[1] ?? '').split('\n').filter((line) => line.startsWith('|'))
  return lines.slice(2).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  )
}

export function withTable(guide: string, name: string, table: string): string {
  const place = new RegExp(`(<!-- table: ${name} -->\n)[\\s\\S]*?(<!-- end -->)`)
  if (!place.test(guide)) throw new Error(`the guide has no place for the table ${name}`)
  return guide.replace(place, (_all, before: string, after: string) => `${before}\n${table}\n${after}`)
}
