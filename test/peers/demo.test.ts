/** The demo prints the table of the README, leaves it running where asked, and leaves nothing behind. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { describe, expect, test as plainTest } from 'vitest'
import { isOk, tableOf } from '../../examples/demo/report.ts'
import { openPythonEnvironment } from '../../packages/python/test/environment.ts'
import { test } from '../support/fixtures.ts'
import { isRunning, root, start } from '../support/process.ts'
import { until } from '../support/wait.ts'

const environment = openPythonEnvironment()
const demo = `${root}examples/demo/run.ts`

if (typeof environment === 'string') plainTest(`NOT TESTED: the demo, because ${environment}`, () => {})

describe.skipIf(typeof environment === 'string')('the demo', () => {
  test('every row is as it should be, and the commands that it prints work', async ({
    track,
    onTestFinished,
  }) => {
    const { HOME = '' } = process.env
    const running = track(
      start(process.execPath, [demo, '--keep'], { environment: { HOME }, leadsGroup: true }),
    )
    // It ends its database, also if something here fails. Killed, it would leave that.
    onTestFinished(async () => void (await running.end('SIGINT')))
    await running.until(() => running.output().includes('tail '))
    const text = running.stdout()
    expect(text).toContain('Every row is as it should be.')
    const table = /^TRIED[\s\S]*?(?=\n\n)/m.exec(text)?.[0] ?? 'no table'
    expect(readFileSync(`${root}README.md`, 'utf8')).toContain(`\`\`\`\n${table}\n\`\`\`\n`)

    const commands = [...text.matchAll(/^ {2}((?:TOKEN=|curl|MINTMARK_DATA_DIR|tail)(?:\\\n|.)*)$/gm)].map(
      ([, command]) => command,
    )
    expect(commands).toHaveLength(6)
    const pasted = spawnSync('sh', ['-c', commands.join('\n')], { encoding: 'utf8' })
    expect(pasted.stdout, pasted.stderr).toContain('[{"number":1,"item":"tea"')
    expect(pasted.stdout).toContain('The access token belongs to another certificate.')
    expect(pasted.stdout).toContain('The access token is for another audience.')
    expect(pasted.stdout).toMatch(/issued.*shop/)
    expect(pasted.stdout).toContain('/orders shop accepted')

    const directory = /\S*mintmark-demo-\w+/.exec(text)?.[0] ?? ''
    const children = childrenOf(running.processId)
    expect(existsSync(directory)).toBe(true)
    expect(children).toHaveLength(3)
    expect(await running.end('SIGINT')).toBe(0)
    expect(existsSync(directory)).toBe(false)
    expect(children.filter(isRunning)).toEqual([])
  })

  test('its services end with it, also if it is killed', async ({ track, onTestFinished }) => {
    const { HOME = '' } = process.env
    const running = track(start(process.execPath, [demo], { environment: { HOME } }))
    await running.until(() => running.output().includes('✓ FastAPI on'))
    const children = childrenOf(running.processId)
    const [directory = ''] = children.flatMap((child) => directoryOf(child) ?? [])
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
    expect(children).toHaveLength(3)
    await running.end('SIGKILL')
    await until(() => !children.some(isRunning))
  })
})

plainTest('without Python it says what to install', async () => {
  const { code, stderr } = await start(process.execPath, [demo], { environment: { PATH: '/nowhere' } })
    .outcome
  expect(code).toBe(2)
  expect(stderr).toContain('there is no Python 3.10 or newer')
  expect(stderr).toContain('apt install python3-venv')
})

plainTest('a row is right only with the status and the words that were expected', () => {
  const row = { tried: 'a call', expected: [401, 'expired'] as const }
  const rows = [
    { ...row, came: { status: 401, text: 'The access token has expired.' } },
    { ...row, came: { status: 401, text: 'The access token is malformed.' } },
    { ...row, came: { status: 200, text: 'expired' } },
    { ...row, came: { status: 0, text: `${'x'.repeat(100)}expired` } },
  ]
  expect(rows.map(isOk)).toEqual([true, false, false, false])
  const cells = tableOf(rows)
    .split('\n')
    .map((line) => line.split(/ {2,}/))
  expect(cells).toEqual([
    ['TRIED', 'EXPECTED', 'CAME', 'OK'],
    ['a call', '401 … expired', '401 The access token has expired.', 'yes'],
    ['a call', '401 … expired', '401 The access token is malformed.', 'NO'],
    ['a call', '401 … expired', '200 expired', 'NO'],
    // The end of a long answer, where its words are.
    ['a call', '401 … expired', `closed …${'x'.repeat(53)}expired`, 'NO'],
  ])
})

/** The directory of the demo, as the command or the environment of one of its processes names it. */
function directoryOf(processId: number): string | undefined {
  const { stdout } = spawnSync('ps', ['eww', '-o', 'args=', '-p', String(processId)], { encoding: 'utf8' })
  return /\S*?(\/\S*mintmark-demo-\w+)/.exec(stdout)?.[1]
}

/** The processes that a process started and that still run. */
function childrenOf(processId: number): number[] {
  const { stdout } = spawnSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
  return [...stdout.matchAll(/(\d+) +(\d+)/g)]
    .filter(([, , parent]) => Number(parent) === processId)
    .map(([, child]) => Number(child))
}
