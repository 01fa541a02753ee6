/**
 * Shows everything at once: Mintmark, a service on FastAPI and one on Django that call each other over mutual TLS. Each
 * call needs a certificate for the machine and a token for the service. It makes the calls that succeed and those that
 * must fail, and prints a table.
 *
 *     npm run demo               ends with 0 only if every row is as it should be
 *     npm run demo -- --keep     leaves all of it running, until Ctrl-C
 *
 * 2 means that something is missing on this machine. All files are in a temporary directory, which is removed.
 * docker-compose.demo.yml does the same with containers.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openPythonEnvironment, type PythonEnvironment } from '../../packages/python/test/environment.ts'
import { makeCalls, ordersAudience, type Picture } from './calls.ts'
import { answers, runCommand, shortToken } from './mintmark.ts'
import { isOk, verdictOf } from './report.ts'
import { freePorts, Stage } from './stage.ts'

const root = join(import.meta.dirname, '../..')

/** What this machine lacks. */
class Missing extends Error {}

const { keep } = parseArgs({ options: { keep: { type: 'boolean', default: false } } }).values
process.exitCode = await demo()

async function demo(): Promise<number> {
  const stage = new Stage()
  try {
    const python = await stage.step('Python and its packages (the first time this takes minutes)', findPython)
    const picture = await setUp(stage, python)
    const rows = await stage.step('all calls made', () => makeCalls(picture))
    process.stdout.write(`\n${verdictOf(rows)}\n`)
    if (keep) {
      process.stdout.write(`\n${commandsFor(picture, stage)}\n`)
      await stage.untilInterrupted()
    }
    return rows.every(isOk) ? 0 : 1
  } catch (error) {
    process.stderr.write(`\n${stage.isInterrupted ? 'Interrupted.' : describe(error)}\n`)
    if (stage.isInterrupted) return 130
    return error instanceof Missing ? 2 : 1
  } finally {
    await stage.close()
  }
}

/** The environment of the tests of `packages/python`: it is installed once, and has all that the examples need. */
function findPython(): PythonEnvironment {
  const found = openPythonEnvironment()
  if (typeof found !== 'string') return found
  throw new Missing(`The demo cannot run: ${found}.

It needs Python 3.10 or newer with the modules venv and ensurepip, and PyPI once, to install FastAPI and Django.
  Debian, Ubuntu   apt install python3-venv
  Fedora           dnf install python3
  macOS            brew install python
Behind a proxy, set HTTPS_PROXY, or PIP_INDEX_URL for a mirror of PyPI. Then run it again.`)
}

/** Starts the three services, each with a certificate of one development CA. */
async function setUp(stage: Stage, python: PythonEnvironment): Promise<Picture> {
  const data = join(stage.directory, 'data')
  const ca = join(data, 'ca')
  const authority = join(ca, 'ca.crt')
  const mintmark = (...words: string[]): Promise<void> => runCommand({ MINTMARK_DATA_DIR: data }, words)

  await stage.step('a development CA, and a certificate for each machine', async () => {
    await mintmark('ca', 'init')
    for (const name of ['mintmark', 'orders', 'billing', 'shop', 'stranger'])
      await mintmark('ca', 'issue', name, '--dns', 'localhost', '--uri', `spiffe://example.org/${name}`)
  })
  const certificateOf = (name: string) => [join(ca, name, 'tls.crt'), join(ca, name, 'tls.key')] as const
  const ports = await freePorts(3)
  const [issuer = '', orders = '', billing = ''] = ports.map((port) => `https://localhost:${port}`)

  await stage.step(`Mintmark on ${issuer}, with a database of its own`, async () => {
    const [certificate, key] = certificateOf('mintmark')
    stage.start('mintmark', process.execPath, [join(root, 'src/cli/main.ts'), 'start', '--no-seed'], {
      MINTMARK_DATA_DIR: data,
      PORT: new URL(issuer).port,
      MINTMARK_ISSUER: issuer,
      MINTMARK_TLS_CERTIFICATE_FILE: certificate,
      MINTMARK_TLS_PRIVATE_KEY_FILE: key,
      MINTMARK_TLS_CLIENT_CA_FILE: authority,
    })
    await stage.until(() => answers(ca, `${issuer}/readyz`))
    await mintmark('seed', join(import.meta.dirname, 'clients.yaml'))
  })

  const short = await shortToken({ mintmark: issuer, ca }, mintmark)
  await stage.step(`FastAPI on ${orders}, Django on ${billing}`, async () => {
    for (const [name, example, own, peer] of [
      ['orders', 'fastapi-orders', orders, billing],
      ['billing', 'django-billing', billing, orders],
    ] as const) {
      const [certificate, key] = certificateOf(name)
      const environment = {
        ...python.environment,
        PYTHONDONTWRITEBYTECODE: '1',
        PORT: new URL(own).port,
        PUBLIC_URL: own,
        PEER_URL: peer,
        ISSUER: issuer,
        CLIENT_CREDENTIALS_FILE: writeCredential(stage, name),
        TLS_CERTIFICATE_FILE: certificate,
        TLS_KEY_FILE: key,
        TLS_CLIENT_CA_FILE: authority,
        REQUIRE_BOUND_TOKENS: 'yes',
        SIGNED_REQUESTS: 'certificate',
      }
      // They keep nothing, and asked to end they would wait half a minute for each other's open connections.
      const words = [join(import.meta.dirname, 'tied.py'), join(root, 'examples', example, 'app.py')]
      stage.start(name, python.python, words, environment, 'SIGKILL')
    }
    await stage.until(() => answers(ca, `${orders}/health`))
    await stage.until(() => answers(ca, `${billing}/health`))
  })
  await stage.step('a token has expired', () => stage.until(short.hasExpired))
  return {
    mintmark: issuer,
    orders,
    billing,
    ca,
    logOf: (name) => stage.logOf(name),
    expiredToken: short.token,
  }
}

/** What the services in Python have instead of a secret: the word that their certificate is it. */
function writeCredential(stage: Stage, name: 'orders' | 'billing'): string {
  const file = join(stage.directory, `${name}.json`)
  writeFileSync(file, JSON.stringify({ client_id: `${name}-service`, certificate: true }))
  return file
}

/** What to paste into another terminal. */
function commandsFor({ mintmark, orders, billing, ca }: Picture, stage: Stage): string {
  const certificate = (name: string): string => `--cert ${ca}/${name}/tls.crt --key ${ca}/${name}/tls.key`
  const curl = (name: string): string => `curl -s --cacert ${ca}/ca.crt ${certificate(name)}`
  const token = `TOKEN=$(${curl('shop')} ${mintmark}/token -d grant_type=client_credentials -d client_id=shop \\
    -d resource=${ordersAudience} | grep -o 'eyJ[^"]*')`
  const withToken = '-H "Authorization: Bearer $TOKEN"'
  return `All of it runs until you press Ctrl-C. Try it in another terminal. A token, bound to the certificate of the shop:

  ${token}

The orders. Then the same from a stranger's machine, and at the service that the token is not for:

  ${curl('shop')} ${orders}/orders ${withToken}
  ${curl('stranger')} ${orders}/orders ${withToken}
  ${curl('shop')} ${billing}/invoices ${withToken}

What Mintmark has recorded, and what each service says of its calls:

  MINTMARK_DATA_DIR=${stage.directory}/data ${join(root, 'bin/mintmark')} audit list
  tail ${stage.directory}/orders.log ${stage.directory}/billing.log
`
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
