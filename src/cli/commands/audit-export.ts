import { exportLedger } from '../../ledger/export.ts'
import { settleHandChanges } from '../../ledger/hand-changes.ts'
import { defineCommand } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { jsonLine, note, print } from '../terminal/output.ts'

export const auditExport = defineCommand({
  path: ['audit', 'export'],
  summary: 'write the whole ledger as lines of JSON that can be verified without the database',
  details:
    'Each chain begins with its random bytes and ends with the number of its records. The last line has one hash over the\n' +
    'ends of all chains. It is also printed at the end. Keep it apart from the export: then "audit verify --heads" finds\n' +
    'out whether somebody has computed all hashes again.',
  options: {},
  examples: [
    [
      'bin/mintmark audit export',
      'the whole ledger; write it into a file, or verify it with "audit verify -"',
    ],
  ],
  async run() {
    await withDatabase(async ({ database }) => {
      // Where that may not be written, the changes of the last second are missing.
      await settleHandChanges(database.statements).catch(() => {})
      for await (const line of exportLedger(database.prisma)) {
        print(`${jsonLine(line)}\n`)
        const end = line['ledger_end'] as { heads: string } | undefined
        if (end !== undefined) note(`The heads of all chains: ${end.heads}`)
      }
    })
  },
})
