import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { freePort } from '../support/ports.ts'
import { environmentOf, isRunning, launcher, start, startMintmark, untilReady } from '../support/process.ts'

/** Nobody on the machine gets into a process by Node's inspector. */

test.skipIf(process.platform !== 'linux')(
  'SIGUSR1 and SIGUSR2 open no inspector in any process of ours, and end none',
  async ({ database, track }) => {
    const port = String(await freePort())
    // Below npm the launcher stays above the service.
    const environment = { npm_lifecycle_event: 'start', WORKERS: '2', PORT: port }
    const service = track(
      start(launcher, ['serve'], { environment: environmentOf(database.url, environment) }),
    )
    await untilReady({ ...service, url: `http://127.0.0.1:${port}` })
    await service.until(() => service.output().split('"worker_ready"').length === 3)
    const processes = [service.processId, ...descendants(service.processId)]
    // The launcher, the primary and two workers.
    expect(processes).toHaveLength(4)
    for (const processId of processes) {
      process.kill(processId, 'SIGUSR1')
      process.kill(processId, 'SIGUSR2')
    }
    // Each of them catches the signal itself. Otherwise it would still be the default: Node's inspector, or the end.
    for (const processId of processes) expect(catches(processId, 10), `process ${processId}`).toBe(true)
    await service.until(() => service.output().split('"signal":"SIGUSR2"').length === 4)
    const options = processes.slice(1).map((id) => readFileSync(`/proc/${id}/cmdline`, 'utf8'))
    for (const line of options) expect(line).toContain('--disable-sigusr1')
    for (let count = 0; count < 4; count += 1)
      expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200)
    expect(processes.every(isRunning)).toBe(true)
    await service.end('SIGTERM')
    expect(service.output()).not.toContain('Debugger listening')
  },
)

/** Also for who starts the program without the launcher, as a unit of systemd may. */
test.skipIf(process.platform !== 'linux')(
  'nor in a command that was started by hand',
  async ({ database, track }) => {
    const port = String(await freePort())
    const service = track(
      startMintmark(['serve'], { environment: environmentOf(database.url, { PORT: port }) }),
    )
    await untilReady({ ...service, url: `http://127.0.0.1:${port}` })
    process.kill(service.processId, 'SIGUSR1')
    expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200)
    expect(await service.end('SIGTERM')).toBe(0)
    expect(service.output()).not.toContain('Debugger listening')
  },
)

test('serve refuses an inspector that it inherits', async ({ database, track }) => {
  const environment = environmentOf(database.url, { NODE_OPTIONS: '--inspect=127.0.0.1:0' })
  for (const served of [
    startMintmark(['serve'], { environment }),
    start(launcher, ['serve'], { environment }),
  ]) {
    const { code, stderr } = await track(served).outcome
    expect(code).not.toBe(0)
    expect(stderr).toContain("Node's inspector is open")
  }
})

/** The numbers of all processes below one. */
function descendants(processId: number): number[] {
  const children = readFileSync(`/proc/${processId}/task/${processId}/children`, 'utf8')
    .split(' ')
    .filter(Boolean)
  return children.map(Number).flatMap((child) => [child, ...descendants(child)])
}

/** Whether a process has a handler of its own for a signal and, if Node has one too, is not told of it by Node. */
function catches(processId: number, signal: number): boolean {
  const [, mask = '0'] =
    /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${processId}/status`, 'utf8')) ?? []
  return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n
}
