import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { openPythonEnvironment } from '../../packages/python/test/environment.ts'
import { forkFile, messageOf, spawnProgram } from '../children.ts'
import type { VerifyResult, VerifyRound } from '../load/verify.ts'
import { takeTurns } from '../measure.ts'
import { installPeers } from '../peers/install.ts'
import { type Row, type Scenario, skipped } from '../scenario.ts'
import { median, ratios } from '../statistics.ts'
import { number, perSecond, range, times } from '../text.ts'
import type { World } from '../world.ts'

/** One round of one contestant. */
interface Cost {
  readonly ratePerSecond: number
  readonly microseconds: number
  readonly signatures: number
}

export const verify: Scenario = {
  name: 'verify',
  question: 'What does it cost a relying service to verify a token, beside jose, fast-jwt and PyJWT?',
  async run(world) {
    const python = await measurePython(world)
    const hasPeers = await installPeers(world.say)
    const child = forkFile('load/verify.ts', [], {
      execArgv: ['--disable-warning=ExperimentalWarning', '--conditions=@mintmark/source'],
    })
    try {
      await messageOf(child)
      const measure = async (round: VerifyRound): Promise<Cost> => {
        const before = await world.signatureMicroseconds()
        const answer = messageOf<VerifyResult>(child)
        child.send(round)
        const { verified, seconds, cpuMicroseconds } = await answer
        const signature = (before + (await world.signatureMicroseconds())) / 2
        const microseconds = cpuMicroseconds / verified
        return { ratePerSecond: verified / seconds, microseconds, signatures: microseconds / signature }
      }
      const names: readonly VerifyRound['contestant'][] = hasPeers
        ? ['mintmark', 'jose', 'fast-jwt']
        : ['mintmark', 'jose']
      const rounds = (isCold: boolean, seconds: number) =>
        Object.fromEntries(
          names.map((contestant) => [contestant, () => measure({ contestant, isCold, seconds })]),
        )
      for (const isCold of [true, false])
        for (const warmUp of Object.values(rounds(isCold, world.plan.warmUpSeconds))) await warmUp()
      const cold = await takeTurns(world, rounds(true, world.plan.roundSeconds), describe)
      const warm = await takeTurns(world, rounds(false, world.plan.roundSeconds), describe)
      return [...coldRows(cold), ...warmRows(warm), ...python]
    } finally {
      const ended = once(child, 'exit')
      child.kill()
      await ended
    }
  },
}

/** The same question in Python, in the environment that the tests of packages/python keep. */
async function measurePython(world: World): Promise<Row[]> {
  const environment = openPythonEnvironment()
  if (typeof environment === 'string') return [skipped('CPU per token in Python, beside PyJWT', environment)]
  const child = spawnProgram(
    environment.python,
    [fileURLToPath(new URL('../load/verify.py', import.meta.url))],
    { env: { ...process.env, ...environment.environment }, stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const { stdin, stdout } = child
  if (stdin === null || stdout === null) throw new Error('The process has no input or output.')
  const answers = createInterface({ input: stdout })[Symbol.asyncIterator]()
  const answer = async (): Promise<unknown> => {
    const { done, value } = await answers.next()
    if (done === true) throw new Error('load/verify.py ended and said nothing')
    return JSON.parse(value)
  }
  const measure = async (contestant: string, isCold: boolean, seconds: number): Promise<Cost> => {
    const before = await world.signatureMicroseconds()
    stdin.write(`${JSON.stringify({ contestant, isCold, seconds })}\n`)
    const { verified, seconds: took, cpuMicroseconds } = (await answer()) as VerifyResult
    const signature = (before + (await world.signatureMicroseconds())) / 2
    const microseconds = cpuMicroseconds / verified
    return { ratePerSecond: verified / took, microseconds, signatures: microseconds / signature }
  }
  try {
    await answer()
    const { roundSeconds, warmUpSeconds } = world.plan
    for (const contestant of ['mintmark', 'PyJWT']) await measure(contestant, true, warmUpSeconds)
    const costs = await takeTurns(
      world,
      {
        cold: () => measure('mintmark', true, roundSeconds),
        warm: () => measure('mintmark', false, roundSeconds),
        PyJWT: () => measure('PyJWT', true, roundSeconds),
      },
      describe,
    )
    return pythonRows(costs)
  } finally {
    const ended = once(child, 'exit')
    child.kill()
    await ended
  }
}

type Results = Readonly<Record<string, readonly Cost[]>>

const describe = ({ microseconds, signatures }: Cost): string =>
  `${number(microseconds, 2)} µs of CPU, ${number(signatures, 3)} S`

const costOf = (rounds: readonly Cost[]): string => {
  const signatures = rounds.map((round) => round.signatures)
  return `${number(median(signatures), 3)} S (${number(median(rounds.map((round) => round.microseconds)), 2)} µs)${range(signatures, 3)}`
}

const rate = (rounds: readonly Cost[]): string =>
  perSecond(median(rounds.map((round) => round.ratePerSecond)))

function coldRows({ mintmark = [], jose = [], 'fast-jwt': fastJwt }: Results): Row[] {
  const microseconds = (rounds: readonly Cost[]): number[] => rounds.map((round) => round.microseconds)
  const beside = ratios(microseconds(jose), microseconds(mintmark))
  const what = 'tokens per CPU second that were not seen before, beside fast-jwt'
  return [
    {
      what: 'CPU per token that was not seen before',
      measured: costOf(mintmark),
      beside: `jose: ${costOf(jose)}`,
      note: 'ES256, in one process, one token after the other. OpenSSL’s verification alone is about 2.5 S.',
    },
    {
      what: 'tokens per CPU second that were not seen before, beside jose',
      measured: times(beside),
      beside: `${rate(mintmark)}, jose: ${rate(jose)}`,
      target: { name: 'verifyCold', value: median(beside) },
    },
    fastJwt === undefined
      ? skipped(what, 'its package could not be installed')
      : {
          what,
          measured: times(ratios(microseconds(fastJwt), microseconds(mintmark))),
          beside: `fast-jwt: ${costOf(fastJwt)}, ${rate(fastJwt)}`,
        },
  ]
}

function warmRows({ mintmark = [], jose = [], 'fast-jwt': fastJwt }: Results): Row[] {
  return [
    {
      what: 'CPU per token that was verified before',
      measured: costOf(mintmark),
      beside:
        fastJwt === undefined
          ? `jose, which remembers nothing: ${costOf(jose)}`
          : `fast-jwt with its cache: ${costOf(fastJwt)}; jose, which remembers nothing: ${costOf(jose)}`,
      target: { name: 'verifyWarm', value: median(mintmark.map((round) => round.signatures)) },
      note: 'The time, the key and the whole text of the token are checked again. fast-jwt’s cache does not look for keys.',
    },
  ]
}

function pythonRows({ cold = [], warm = [], PyJWT = [] }: Results): Row[] {
  const microseconds = (rounds: readonly Cost[]): number[] => rounds.map((round) => round.microseconds)
  const beside = (rounds: readonly Cost[]) => times(ratios(microseconds(PyJWT), microseconds(rounds)))
  return [
    {
      what: 'in Python: tokens per CPU second that were not seen before, beside PyJWT',
      measured: beside(cold),
      beside: `${costOf(cold)}; PyJWT: ${costOf(PyJWT)}, ${rate(PyJWT)}`,
      note: 'PyJWT with its key at hand checks signature, issuer, audience and times.',
    },
    {
      what: 'in Python: tokens per CPU second that were verified before, beside PyJWT',
      measured: beside(warm),
      beside: `${costOf(warm)}; PyJWT, which remembers nothing: ${costOf(PyJWT)}`,
    },
  ]
}
