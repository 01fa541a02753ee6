/**
 * Whoever does not know the command line learns it from the command line: every command explains itself, a
 * mistake is answered with what was probably meant, and a wrong call does nothing (exit code 2).
 */
import { describe, expect, test } from 'vitest'
import { allCommands, findCommand } from '../../src/cli/command-list.ts'
import { parseArguments } from '../../src/cli/terminal/arguments.ts'
import { commandHelp } from '../../src/cli/terminal/help.ts'
import { exitCodes } from '../../src/errors.ts'
import { release } from '../../src/release.ts'
import { command } from '../support/command.ts'
import { commandProcess, launcher, program, start } from '../support/process.ts'

const commands = await allCommands()

describe('help', () => {
  test('at every level', async () => {
    const calls = [
      ['--help'],
      ['help', 'clients'],
      ['clients', '--help'],
      ['clients', 'secrets', '-h'],
      ['audit', '--help'],
    ]
    for (const outcome of await Promise.all(calls.map((call) => command({}, ...call)))) {
      expect(outcome).toMatchObject({ code: 0, stderr: '' })
      expect(outcome.stdout).toContain('Usage: bin/mintmark')
      expect(outcome.stdout).toContain('COMMAND --help')
    }
  })

  test('of one command, from the launcher', async () => {
    const { stdout } = await start(launcher, ['clients', 'create', '--help']).outcome
    expect(stdout).toContain('Usage: bin/mintmark clients create CLIENT [options]')
  })

  test.each(commands.map((each) => [each.path.join(' '), each] as const))('of "%s"', async (_name, each) => {
    expect(await findCommand([...each.path, 'shop'])).toBe(each)
    const text = commandHelp(each)
    for (const option of Object.keys(each.options)) expect(text).toContain(`--${option}`)
    expect(each.examples.length).toBeGreaterThan(0)
    for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(120)
    expect(parseArguments(each, ['--help']).help).toBe(true)
  })

  test('shows only examples that are called rightly', () => {
    for (const [line] of commands.flatMap((each) => each.examples)) {
      for (const [, call = ''] of line.matchAll(/bin\/mintmark ([^&)|]+)/g)) {
        const words = call.replaceAll(/\\\n/g, ' ').trim().split(/\s+/)
        const each = commands.find(({ path }) => path.every((word, index) => words[index] === word))
        expect(each, line).toBeDefined()
        if (each !== undefined) parseArguments(each, words.slice(each.path.length))
      }
    }
  })

  test('says which release this is', async () => {
    expect(await commandProcess({}, '--version')).toMatchObject({ code: 0, stdout: `${release}\n` })
  })
})

describe('a wrong call', () => {
  test.each<[call: string, says: string]>([
    ['', 'say what to do'],
    ['clients', 'say what to do'],
    ['clinets list', 'Did you mean "clients"?'],
    ['clients lsit', 'Did you mean "list"?'],
    ['clients secrets lost a', 'Did you mean "list"?'],
    ['--json clients list', 'options come after the command'],
    ['clients list --jsno', 'Did you mean "--json"?'],
    ['clients list --json=yes', '--json takes no value'],
    ['clients list --status', '--status needs a value'],
    ['clients list --status --json', 'if "--json" is meant, write --status=--json'],
    ['clients list --status=', '--status needs a value'],
    ['clients list --stat active', 'has no option --stat. Did you mean "--status"?'],
    ['clients list -s active', 'has no option -s'],
    ['clients show a --no-json', 'has no option --no-json. Did you mean "--json"?'],
    ['clients show --json=', '--json takes no value'],
    ['clients create a --expires-at -5', 'if "-5" is meant, write --expires-at=-5'],
    ['clients create a --expires-at=-5', '"-5" is not a date and time'],
    ['clients list --status active --status active', 'is given twice'],
    ['clients list --status actve', 'Did you mean "active"?'],
    ['clients show', 'needs CLIENT'],
    ['clients show a b', 'does not take "b"'],
    ['clients create a%b', 'CLIENT: "a%b" is not a client id'],
    ['clients create a --access https://a.example', 'AUDIENCE=SCOPE,SCOPE'],
    ['clients create a --access https://a.example=a --access https://a.example=b', 'is named twice'],
    ['clients create a --allow-network 10.0.0.1/8', '10.0.0.0/8'],
    ['clients create a --auth-method basic', 'client_secret_basic'],
    ['clients create a --expires-at tomorrow', '2027-01-31T23:59:59Z'],
    ['clients secrets add a --expires-in 1d --expires-at 2099-01-01T00:00:00Z', 'use one of them'],
    ['ca issue a', 'A server needs a name'],
    ['ca isue a', 'Did you mean "issue"?'],
    ['token a --url localhost', '--url'],
    ['seed', 'needs FILE'],
    ['keys rotat', 'Did you mean "rotate"?'],
    ['keys revoke', 'needs KID'],
  ])('"%s"', async (call, says) => {
    const outcome = await command({}, ...call.split(' ').filter((word) => word !== ''))
    expect(outcome).toMatchObject({ code: exitCodes.usage, stdout: '' })
    expect(outcome.stderr).toMatch(/^mintmark: /)
    expect(outcome.stderr).toContain(says)
  })

  test('from the real program', async () => {
    const outcome = await commandProcess({}, 'clients', 'lsit')
    expect(outcome).toMatchObject({ code: 2, stdout: '' })
    expect(outcome.stderr).toBe(
      'mintmark: there is no command "clients lsit". Did you mean "list"? "bin/mintmark clients --help" lists them.\n',
    )
  })
})

test('a reader that has heard enough is no error', async () => {
  const pipe = `"$0" "$1" --help | head -1; echo "done"`
  const { stdout, stderr } = await start('/bin/sh', ['-c', pipe, process.execPath, program]).outcome
  expect(stdout).toBe(`Mintmark ${release}: an OAuth 2.0 token service for machines.\ndone\n`)
  expect(stderr).toBe('')
})

test('a directory that is gone is said', async () => {
  const line = `cd "$(mktemp -d)" && rmdir "$PWD" && exec "$0" "$1" --version`
  const { code, stderr } = await start('/bin/sh', ['-c', line, process.execPath, launcher]).outcome
  expect(code).toBe(1)
  expect(stderr).toMatch(/^mintmark: the directory in which this runs was removed/)
})
