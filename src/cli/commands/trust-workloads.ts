import { blockWorkload, listWorkloads, unblockWorkload } from '../../administration/workload-store.ts'
import { AdministrationError } from '../../errors.ts'
import { optionalMoment } from '../../lib/moment.ts'
import { isWorkloadId } from '../../registry/issuer.ts'
import { administeredTrust } from '../terminal/administered-trust.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { type Connection, withDatabase } from '../terminal/connect.ts'
import { json, jsonLine, note, print, shownMoment } from '../terminal/output.ts'
import { messageOf } from '../terminal/sentences.ts'
import { Table } from '../terminal/table.ts'

/** Workloads that one list shows. */
const shownMax = 1_000

const workloadArgument = {
  name: 'WORKLOAD',
  description: 'its id, as "trust workloads" and its tokens (sub) show it',
} as const

export const trustWorkloads = defineCommand({
  path: ['trust', 'workloads'],
  summary: 'list the workloads that got a token by a rule without a client',
  details:
    `The latest ${shownMax}. A use is listed within half a minute. The id of a workload follows from its issuer and its\n` +
    'subject, so it is never given to another one.',
  options: { ...jsonOption },
  examples: [['bin/mintmark trust workloads', 'with their first and their latest token']],
  async run(options) {
    await withDatabase(async (connection) => {
      const sealed = await sealedBlocks(connection)
      const workloads = await listWorkloads(connection.database.prisma, shownMax, sealed)
      if (options.json) {
        const fields = workloads.map((workload) => ({
          workload_id: workload.workloadId,
          issuer: workload.issuer ?? null,
          subject: workload.subject ?? null,
          rule: workload.rule ?? null,
          owner: workload.owner ?? null,
          first_seen_at: optionalMoment(workload.firstSeenAt),
          last_used_at: optionalMoment(workload.lastUsedAt),
          blocked: workload.isBlocked,
          blocked_at: optionalMoment(workload.blockedAt),
        }))
        print(`${json({ workloads: fields })}\n`)
        return
      }
      if (workloads.length === 0) {
        print('No workload is listed. One that got its first token is listed within half a minute.\n')
        return
      }
      const titles = ['WORKLOAD', 'ISSUER', 'SUBJECT', 'RULE', 'FIRST SEEN', 'LAST USED', 'BLOCKED', 'OWNER']
      print(
        new Table(titles.map((title) => ({ title }))).render(
          workloads.map((workload) => [
            workload.workloadId,
            workload.issuer ?? '-',
            workload.subject ?? '-',
            workload.rule ?? '-',
            shownMoment(workload.firstSeenAt, 'never'),
            shownMoment(workload.lastUsedAt, 'never'),
            shownMoment(workload.blockedAt, workload.isBlocked ? 'sealed' : undefined),
            workload.owner ?? '-',
          ]),
        ),
      )
    })
  },
})

/** Those that a process that serves believes to be blocked. A list is shown without the key-encryption key too. */
async function sealedBlocks(connection: Connection): Promise<ReadonlySet<string>> {
  if (connection.sealing === undefined) return new Set()
  try {
    return (await administeredTrust(connection, [])).trust.blocked
  } catch (error) {
    if (!(error instanceof AdministrationError)) throw error
    note(`WARNING: Nobody can tell which blocks are sealed: only rows are shown. ${messageOf(error)}`)
    return new Set()
  }
}

export const trustBlock = defineCommand({
  path: ['trust', 'block'],
  summary: 'give a workload no more tokens, whichever rule it fits',
  details: 'In force on every replica when the command returns. Tokens that it has live until they expire.',
  positionals: [workloadArgument],
  options: { ...jsonOption },
  examples: [['bin/mintmark trust block workload:Zx0…', 'one that was taken over']],
  run: (options, [workloadId = '']) => setBlocked(workloadId, true, options.json),
})

export const trustUnblock = defineCommand({
  path: ['trust', 'unblock'],
  summary: 'give a workload tokens again, as the rules say',
  positionals: [workloadArgument],
  options: { ...jsonOption },
  examples: [['bin/mintmark trust unblock workload:Zx0…', 'one that is whole again']],
  run: (options, [workloadId = '']) => setBlocked(workloadId, false, options.json),
})

async function setBlocked(workloadId: string, blocked: boolean, asJson: boolean): Promise<void> {
  if (!isWorkloadId(workloadId) || !/:[A-Za-z0-9_-]{43}$/.test(workloadId)) {
    throw usageError(
      'WORKLOAD: write the id of a workload, like workload:… with 43 letters and digits after it.',
    )
  }
  await withDatabase(async (connection) => {
    const changed = await (blocked ? blockWorkload : unblockWorkload)(connection, workloadId)
    if (asJson) print(`${jsonLine({ workload_id: workloadId, blocked, changed })}\n`)
    else print(`${workloadId} ${changed ? 'is' : 'was already'} ${blocked ? 'blocked' : 'not blocked'}.\n`)
  })
}
