import { problemText, type Review, reviewRegistry, sealRegistry } from '../../administration/seal-registry.ts'
import { AdministrationError, OperatorError } from '../../errors.ts'
import { defineCommand, jsonOption } from '../terminal/command.ts'
import { confirm } from '../terminal/confirm.ts'
import { withDatabase } from '../terminal/connect.ts'
import { counted, json, note, print } from '../terminal/output.ts'
import { messageOf } from '../terminal/sentences.ts'
import { terminal } from '../terminal/terminal.ts'

/** Differences that are shown. JSON has them all. */
const shownMax = 100

export const registrySeal = defineCommand({
  path: ['registry', 'seal'],
  summary: 'show what was registered without the key-encryption key, and seal the registry as it is',
  details:
    'For MINTMARK_SEALED_REGISTRY=yes. Run it once before the service gets that setting: it seals every client, secret,\n' +
    'access and resource as it stands. Run it again after somebody changed rows by hand, or put back a backup.\n\n' +
    'DANGER: sealing makes every row valid, whoever wrote it. Look at what it shows before you confirm. Every line is\n' +
    'something that a client may do from then on, and may not do now. A line that you cannot explain was written by\n' +
    'somebody who can write your database.',
  options: {
    'dry-run': { type: 'boolean', description: 'show what differs, and seal nothing' },
    yes: { type: 'boolean', description: 'do not ask, whatever differs' },
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark registry seal --dry-run', 'what differs, and nothing is changed'],
    [
      'MINTMARK_SEALED_REGISTRY=yes bin/mintmark registry seal',
      'seal it, and be asked first if something differs',
    ],
  ],
  async run(options) {
    await withDatabase(async (connection) => {
      const sealing = connection.sealing
      // Otherwise the next command would change what this one sealed, and seal nothing.
      if (sealing === undefined) {
        throw new OperatorError(
          'MINTMARK_SEALED_REGISTRY: set it to "yes", here and for every command and every process that serves. ' +
            'Otherwise the changes of the next command are not sealed.',
        )
      }
      const context = { ...connection, sealing }
      const progress = { onProgress: progressOf('looked at') }
      const review = await reviewRegistry(context, progress)
      if (!options.json) printReview(review)
      if (options['dry-run']) {
        if (options.json) print(`${json(reviewFields(review, false))}\n`)
        else print('This was a dry run: nothing was sealed.\n')
        return
      }
      const isSafe = review.problems.length === 0 && review.headProblem === undefined
      // Whoever is asked has to see it. The output has nothing but the JSON.
      if (options.json && !isSafe && !options.yes) noteProblems(review)
      if (!isSafe && !options.yes) await askOrRefuse(connection.signal)
      await sealRegistry(context, review, progress)
      if (options.json) print(`${json(reviewFields(review, true))}\n`)
      else print('The registry is sealed as it is.\n')
    })
  },
})

async function askOrRefuse(signal: AbortSignal): Promise<void> {
  if (!terminal().stdin.isTTY) {
    throw new OperatorError(
      'there is no terminal to answer at. Nothing was sealed. If all of this is right, use --yes.',
    )
  }
  await confirm('Make all of this valid? Type "seal" to go on: ', 'seal', signal)
}

function printReview(review: Review): void {
  const { counts, problems, lessened, headProblem } = review
  const { clients, secrets, access, resources } = counts
  print(
    `${counted(clients, 'client')}, ${counted(secrets, 'secret')}, ${counted(access, 'grant')} and ` +
      `${counted(resources, 'resource')} are registered.\n`,
  )
  if (headProblem === 'registry_seal_missing') print('The registry was not sealed before.\n')
  if (lessened > 0) {
    print(
      `${lessened} ${lessened === 1 ? 'entry has' : 'entries have'} less than was registered: disabled, revoked or narrowed by hand. This does ` +
        `not change.\n`,
    )
  }
  if (problems.length === 0) print('Nothing gives more than was registered.\n')
  noteProblems(review)
}

/** What is wrong with the seal, and what sealing would give. */
function noteProblems({ problems, headProblem }: Review): void {
  if (headProblem === 'registry_seal_older') {
    note('DANGER: the seal is older than one that was there before. Somebody put back an older registry.')
  } else if (headProblem === 'registry_seal_key_differs') {
    note(
      'DANGER: the seal is under a key-encryption key that was abandoned. So nothing shows any more what was ' +
        'registered: compare everything with your seed file.',
    )
  } else if (headProblem !== undefined && headProblem !== 'registry_seal_missing') {
    note(`DANGER: ${messageOf(new AdministrationError(headProblem, {}))}`)
  }
  if (problems.length === 0) return
  const isFirst = headProblem === 'registry_seal_missing'
  note(
    isFirst
      ? `${problems.length} ${problems.length === 1 ? 'entry' : 'entries'} would be valid from now on:`
      : `DANGER: ${problems.length} differ from what was registered, and have no effect. Sealing makes them valid:`,
  )
  for (const problem of problems.slice(0, shownMax)) note(`  ${problemText(problem)}`)
  if (problems.length > shownMax) note(`  and ${problems.length - shownMax} more; --json shows all`)
}

function reviewFields({ counts, problems, lessened, headProblem }: Review, isSealed: boolean) {
  return {
    sealed: isSealed,
    ...counts,
    lessened,
    head_problem: headProblem ?? null,
    differences: problems.map(({ subject, id, differences }) => ({ subject, id, differences })),
  }
}

/** Says on stderr how far it is, once it has taken a while. */
function progressOf(done: string): (clients: number) => void {
  let nextAt = performance.now() + 2_000
  return (clients) => {
    const now = performance.now()
    if (now < nextAt) return
    nextAt = now + 2_000
    note(`${counted(clients, 'client')} ${done}`)
  }
}
