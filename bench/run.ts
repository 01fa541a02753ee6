import { describeRun } from './machine.ts'
import { help, type Options, readOptions, UsageError } from './options.ts'
import { type Result, tableText, writeReadme } from './report.ts'
import type { Scenario } from './scenario.ts'
import { scenarios } from './scenarios.ts'
import { type World, withWorld } from './world.ts'

/** `npm run bench` runs the scenarios in turn and prints one table. README.md explains how to read it. */
async function main(given: readonly string[]): Promise<number> {
  const options = readOptions(
    given,
    scenarios.map(({ name }) => name),
  )
  if (options.action === 'help') print(help)
  else if (options.action === 'list') print(list())
  else return await run(options)
  return 0
}

const print = (text: string): void => void process.stdout.write(text)

const list = (): string => scenarios.map(({ name, question }) => `${name.padEnd(10)} ${question}\n`).join('')

async function run({ plan, only, write }: Options): Promise<number> {
  const startedAt = new Date()
  const chosen = scenarios.filter(({ name }) => only.length === 0 || only.includes(name))
  const results: Result[] = []
  let about: string[] = []
  let current = ''
  const say = (line: string): void => print(`${current.padEnd(10)} ${line}\n`)
  await withWorld(plan, say, async (world) => {
    for (const scenario of chosen) {
      current = scenario.name
      say(scenario.question)
      results.push(await runScenario(world, scenario))
    }
    const durationSeconds = (Date.now() - startedAt.getTime()) / 1_000
    about = describeRun(world.postgres.version, startedAt, durationSeconds)
  })
  print(`\n${about.join('\n')}\n\n${tableText(results)}`)
  if (write) writeReadme(results, about, only.length === 0)
  return results.some(({ failures }) => failures.length > 0) ? 1 : 0
}

/** Runs one scenario. If it fails, the results of the others must not be lost. */
async function runScenario(world: World, scenario: Scenario): Promise<Result> {
  try {
    const rows = await scenario.run(world)
    return { scenario, rows, failures: world.takeFailures() }
  } catch (error) {
    world.say(`broken off: ${error instanceof Error ? error.stack : String(error)}`)
    const why = `broken off: ${error instanceof Error ? error.message : String(error)}`
    return { scenario, rows: [], failures: [...world.takeFailures(), why] }
  } finally {
    await world.cleanUp()
  }
}

async function explain(given: readonly string[]): Promise<number> {
  try {
    return await main(given)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`bench: ${error.message}\n`)
    return 2
  }
}

const exitCode = await explain(process.argv.slice(2))
// `exit` is needed: a connection that a scenario left open would keep the process running.
process.stdout.write('', () => process.exit(exitCode))
