import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { decodeProtectedHeader } from 'jose'
import { end, forkFile, hasEnded, messageOf } from './children.ts'
import { type BenchDatabase, sealingKey } from './database.ts'
import type { Credentials, PreparedRequest } from './requests.ts'

/** A server under load: the service or a peer, each a process of its own. */
export interface Server {
  readonly name: string
  /** `http://127.0.0.1:8080` */
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
  /** Processes of the service; without it one, as it starts by default. */
  readonly workers?: number
  readonly certificate?: Certificate
  /** Milliseconds between two looks whether it is ready. */
  readonly pollMilliseconds?: number
}

const readyTimeoutMilliseconds = 20_000

/** The real service, started as bin/mintmark starts it, with its settings' defaults. It is ready when this returns. */
export async function startService(options: ServiceOptions): Promise<Server> {
  const { database, certificate, workers } = options
  const port = await freePort()
  const child = forkFile('../src/cli/main.ts', ['serve'], {
    execArgv: nodeArguments,
    env: {
      PATH: process.env['PATH'],
      PORT: String(port),
      DATABASE_URL: database.url,
      NODE_COMPILE_CACHE: compileCache,
      MINTMARK_KEY_ENCRYPTION_KEY: sealingKey.toString('base64'),
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
  const deadline = performance.now() + readyTimeoutMilliseconds
  while ((await statusOf(`${origin}/readyz`)) !== 200) {
    if (hasEnded(child)) throw new Error(`the service ended with code ${child.exitCode} before it was ready`)
    if (performance.now() > deadline) {
      await end(child)
      throw new Error(`the service was not ready after ${readyTimeoutMilliseconds / 1_000} s`)
    }
    await sleep(options.pollMilliseconds ?? 20)
  }
  return server('mintmark', origin, child)
}

const originOf = (port: number, certificate: Certificate | undefined): string =>
  `${certificate === undefined ? 'http' : 'https'}://127.0.0.1:${port}`

/** What bin/mintmark gives to Node, and where it keeps compiled code. */
const nodeArguments = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=16']
const compileCache = fileURLToPath(new URL('../node_modules/.cache/node', import.meta.url))

/** Peers that need nothing but what the service has. */
export type OwnPeerName = 'floor' | 'bare'
/** Peers with packages of their own, in bench/peers. */
export type ForeignPeerName = 'plain' | 'oidc-provider'

const peerFiles: Readonly<Record<OwnPeerName | ForeignPeerName, readonly [file: string, ...more: string[]]>> =
  {
    floor: ['peers/floor.ts', 'signing'],
    bare: ['peers/floor.ts', 'bare'],
    plain: ['peers/plain.js'],
    'oidc-provider': ['peers/oidc-provider.js'],
  }

/**
 * @param clients who may ask; the floor and the bare route let everybody.
 * @param certificate for TLS, which only these two speak.
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

/** Asks once, on a connection of its own. @returns undefined when nobody answers. */
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

/** @throws when what a server hands out is no token by ES256: then it is nothing to compare with. */
export async function checkToken(target: Server, request: PreparedRequest): Promise<void> {
  const { path, method, headers, body } = request
  const response = await fetch(`${target.origin}${path}`, { method, headers, body })
  const { access_token: token } = (await response.json()) as { access_token?: string }
  const signatureBytes = Buffer.from(token?.split('.')[2] ?? '', 'base64url').length
  const algorithm = token === undefined ? undefined : decodeProtectedHeader(token).alg
  // The floor leaves its signature as OpenSSL gives it, which is a few bytes more than a JWS has.
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
