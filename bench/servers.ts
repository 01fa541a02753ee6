import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { decodeProtectedHeader } from 'jose'
import { residentBytesOf, treeOf } from './accounting.ts'
import { end, forkFile, hasEnded, messageOf, spawnProgram } from './children.ts'
import { type BenchDatabase, sealingKey } from './database.ts'
import type { Credentials, PreparedRequest } from './requests.ts'

/** A server under load: the service or a peer. Each one has its own process. */
export interface Server {
  readonly name: string
  /** For example `http://127.0.0.1:8080`. */
  readonly origin: string
  readonly child: ChildProcess
  readonly processId: number
  stop(): Promise<void>
}

export interface Certificate {
  readonly certificateFile: string
  readonly privateKeyFile: string
}

export interface ServiceOptions {
  readonly database: BenchDatabase
  readonly environment?: Readonly<Record<string, string>>
  /** The number of worker processes. By default one. */
  readonly workers?: number
  readonly certificate?: Certificate
  /** The port that it listens on. By default a free one. */
  readonly port?: number
  /** Milliseconds between two checks whether the service is ready. */
  readonly pollMilliseconds?: number
}

const readyTimeoutMilliseconds = 20_000

/** Starts the service as bin/mintmark does, with default settings. The service is ready when this returns. */
export async function startService(options: ServiceOptions): Promise<Server> {
  const { database, certificate, workers } = options
  const port = options.port ?? (await freePort())
  const child = forkFile('../src/cli/main.ts', ['serve'], {
    execArgv: nodeArguments,
    env: {
      ...environmentOf(database, port),
      ...(workers === undefined ? {} : { WORKERS: String(workers) }),
      ...(certificate === undefined
        ? {}
        : {
            MINTMARK_TLS_CERTIFICATE_FILE: certificate.certificateFile,
            MINTMARK_TLS_PRIVATE_KEY_FILE: certificate.privateKeyFile,
          }),
      ...options.environment,
    },
  })
  const origin = originOf(port, certificate)
  await untilReady(origin, child, options.pollMilliseconds)
  return server('mintmark', origin, child)
}

function environmentOf(database: BenchDatabase, port: number): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    PORT: String(port),
    DATABASE_URL: database.url,
    NODE_COMPILE_CACHE: compileCache,
    MINTMARK_KEY_ENCRYPTION_KEY: sealingKey.toString('base64'),
  }
}

async function untilReady(origin: string, child: ChildProcess, pollMilliseconds = 20): Promise<void> {
  const deadline = performance.now() + readyTimeoutMilliseconds
  while ((await statusOf(`${origin}/readyz`)) !== 200) {
    if (hasEnded(child)) throw new Error(`the service ended with code ${child.exitCode} before it was ready`)
    if (performance.now() > deadline) {
      await end(child)
      throw new Error(`the service was not ready after ${readyTimeoutMilliseconds / 1_000} s`)
    }
    await sleep(pollMilliseconds)
  }
}

/** The resident memory of bin/mintmark in bytes, while it runs the service. 0 if it became the service itself. */
export async function launcherMemory(database: BenchDatabase): Promise<number> {
  const port = await freePort()
  const launcher = fileURLToPath(new URL('../bin/mintmark', import.meta.url))
  const child = spawnProgram('node', [launcher, 'serve'], {
    env: environmentOf(database, port),
    stdio: 'ignore',
  })
  await untilReady(originOf(port, undefined), child)
  const processId = child.pid as number
  const bytes = treeOf(processId).length === 1 ? 0 : (residentBytesOf([processId]) ?? Number.NaN)
  await end(child)
  return bytes
}

const originOf = (port: number, certificate: Certificate | undefined): string =>
  `${certificate === undefined ? 'http' : 'https'}://127.0.0.1:${port}`

/** The arguments that bin/mintmark passes to Node, and its directory for compiled code. */
const nodeArguments = [
  '--disable-warning=ExperimentalWarning',
  '--max-semi-space-size=12',
  '--heap-growing-percent=50',
]
const compileCache = fileURLToPath(new URL('../node_modules/.cache/node', import.meta.url))

/** Peers that use only the packages of the service. */
export type OwnPeerName = 'floor' | 'bare'
/** Peers that need other packages, which are in bench/peers. */
export type ForeignPeerName = 'plain' | 'oidc-provider'

const peerFiles: Readonly<Record<OwnPeerName | ForeignPeerName, readonly [file: string, ...more: string[]]>> =
  {
    floor: ['peers/floor.ts', 'signing'],
    bare: ['peers/floor.ts', 'bare'],
    plain: ['peers/plain.js'],
    'oidc-provider': ['peers/oidc-provider.js'],
  }

/**
 * @param clients the clients that may request tokens. The floor and the bare route accept every client.
 * @param certificate for TLS. Only the floor and the bare route support it.
 */
export async function startPeer(
  name: OwnPeerName | ForeignPeerName,
  directory: string,
  clients: readonly Credentials[],
  certificate?: Certificate,
): Promise<Server> {
  const port = await freePort()
  const [file, ...more] = peerFiles[name]
  const clientsFile = join(mkdtempSync(join(directory, 'peer-')), 'clients.json')
  writeFileSync(clientsFile, JSON.stringify(clients))
  const files = certificate === undefined ? [] : [certificate.certificateFile, certificate.privateKeyFile]
  const child = forkFile(file, [String(port), ...(more.length === 0 ? [clientsFile] : more), ...files])
  await messageOf(child)
  return server(name, originOf(port, certificate), child)
}

export function server(name: string, origin: string, child: ChildProcess): Server {
  if (child.pid === undefined) throw new Error(`${name} has no process`)
  return { name, origin, child, processId: child.pid, stop: () => end(child) }
}

/** Sends one request on a new connection. @returns the status; undefined if there is no answer. */
function statusOf(url: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const options = { agent: false, rejectUnauthorized: false }
    const asked = (url.startsWith('https') ? httpsRequest : httpRequest)(url, options, (response) => {
      response.resume()
      response.once('close', () => resolve(response.statusCode))
    })
    asked.once('error', () => resolve(undefined))
    asked.end()
  })
}

/** @throws if a server does not return a token signed with ES256. Then it cannot be compared. */
export async function checkToken(target: Server, request: PreparedRequest): Promise<void> {
  const { path, method, headers, body } = request
  const response = await fetch(`${target.origin}${path}`, { method, headers, body })
  const { access_token: token } = (await response.json()) as { access_token?: string }
  const signatureBytes = Buffer.from(token?.split('.')[2] ?? '', 'base64url').length
  const algorithm = token === undefined ? undefined : decodeProtectedHeader(token).alg
  // The floor keeps the DER form of its signature, which is a few bytes longer than the form of a JWS.
  if (response.status !== 200 || algorithm !== 'ES256' || signatureBytes < 64) {
    throw new Error(`${target.name} answers ${response.status} and no token by ES256`)
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const listening = createServer().once('error', reject)
    listening.listen(0, '127.0.0.1', () => {
      const address = listening.address()
      listening.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
