import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { secretAuthMethods } from '../../administration/definition.ts'
import { readCommandConfig } from '../../config.ts'
import { OperatorError } from '../../errors.ts'
import { fileProblem, readBounded, settingFileBytesMax } from '../../lib/bounded-file.ts'
import { plainText } from '../../lib/plain-text.ts'
import { didYouMean } from '../../lib/suggest.ts'
import { baseUrlOf } from '../../process/run-service.ts'
import { isResource } from '../../registry/grammar.ts'
import { defineCommand, usageError } from '../terminal/command.ts'
import { json, note, print, shownMoment } from '../terminal/output.ts'
import { terminal } from '../terminal/terminal.ts'

const requestTimeoutMilliseconds = 10_000

export const token = defineCommand({
  path: ['token'],
  summary: 'request a token from the running service and show its content',
  details:
    'For tests by hand: it sends a real request over the network, with the secret of a client. The secret comes from\n' +
    '--secret-file, or else from the file that "npm start" wrote to the data directory, or else from stdin. It cannot\n' +
    'be an argument, because other users of this machine can see arguments.',
  positionals: [{ name: 'CLIENT', description: 'the client id' }],
  options: {
    audience: {
      type: 'string',
      value: 'AUDIENCE',
      description: 'the resource, if the client has access to several',
    },
    scope: {
      type: 'string',
      value: 'SCOPES',
      description: 'the scopes, in one argument; by default all granted scopes',
    },
    'secret-file': { type: 'string', value: 'FILE', description: 'the file with the secret; - for stdin' },
    'auth-method': {
      type: 'string',
      value: 'METHOD',
      description: `${secretAuthMethods.join(' (default) or ')}`,
    },
    url: {
      type: 'string',
      value: 'URL',
      description: 'the URL of the service; by default from the settings',
    },
    raw: { type: 'boolean', description: 'print only the token' },
    json: { type: 'boolean', description: 'print the response, the header and the claims as JSON' },
  },
  examples: [
    ['bin/mintmark token billing', 'after "npm start"'],
    [
      'vault read -field=secret kv/shipping | bin/mintmark token shipping --secret-file -',
      'with a secret from a vault',
    ],
    [
      'bin/mintmark token warehouse --audience https://invoices.example.com --scope invoices:read',
      'one resource',
    ],
    [
      'curl -H "authorization: Bearer $(bin/mintmark token billing --raw)" https://orders.example.com/orders',
      'use it',
    ],
  ],
  async run(options, [clientId = '']) {
    if (options.raw && options.json) throw usageError('--raw: not with --json. Choose one of them.')
    const method = options['auth-method'] ?? 'client_secret_basic'
    if (!secretAuthMethods.includes(method)) {
      throw usageError(`--auth-method: there is no ${method}.${didYouMean(method, secretAuthMethods)}`)
    }
    const url = readUrl(options.url ?? baseUrlOf(readCommandConfig(terminal().environment)))
    const secret = await readSecret(clientId, options['secret-file'])
    const parameters = {
      ...(options.audience === undefined ? {} : target(options.audience)),
      ...(options.scope === undefined ? {} : { scope: options.scope }),
    }
    const response = await requestToken(url, clientId, secret, method, parameters)
    const decoded = decode(response.access_token)
    if (decoded === undefined)
      throw new OperatorError(
        `${url}/token answered with a token that is no JWT. Write the URL of this service in --url.`,
      )
    if (options.raw) print(`${response.access_token}\n`)
    else if (options.json) print(`${json({ ...response, ...decoded })}\n`)
    else printToken(response.access_token, decoded)
  },
})

/** A URI is a resource (RFC 8707). A plain name can only be an audience. */
function target(audience: string): Readonly<Record<string, string>> {
  return isResource(audience) ? { resource: audience } : { audience }
}

function readUrl(given: string): string {
  const [, port] = /^https?:\/\/[^/?#]*:(\d+)(?:[/?#]|$)/.exec(given) ?? []
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535))
    throw usageError(`--url: there is no port ${port}. Write a port from 1 to 65535.`)
  if (!URL.canParse(given) || !/^https?:$/.test(new URL(given).protocol)) {
    throw usageError(`--url: "${given}" is not an http URL. Write a URL like http://127.0.0.1:8080`)
  }
  return given.replace(/\/(token)?$/, '')
}

/**
 * Reads the secret. Stdin is the last choice, because without a terminal or a pipe behind it it may never
 * end.
 */
async function readSecret(clientId: string, path: string | undefined): Promise<string> {
  if (path !== undefined && path !== '-') {
    try {
      return readBounded(path, settingFileBytesMax).toString('utf8').trim()
    } catch (error) {
      throw new OperatorError(`--secret-file: cannot read the file: ${fileProblem(error)}.`, {
        cause: error,
      })
    }
  }
  const startFile = join(
    readCommandConfig(terminal().environment).dataDirectory,
    `${encodeURIComponent(clientId)}.secret`,
  )
  if (path === undefined && existsSync(startFile)) {
    note(`Using the secret in ${startFile}.`)
    return readFileSync(startFile, 'utf8').trim()
  }
  const piped = terminal().stdin.isTTY ? '' : (await text(terminal().stdin)).trim()
  if (piped !== '') return piped
  throw usageError(
    `The secret of ${clientId} is missing. Name its file with --secret-file, or pipe it in with --secret-file -. ` +
      `"bin/mintmark clients secrets add ${clientId}" creates a new one.`,
  )
}

interface TokenResponse {
  readonly access_token: string
  readonly expires_in: number
}

async function requestToken(
  url: string,
  clientId: string,
  secret: string,
  method: string,
  parameters: Readonly<Record<string, string>>,
): Promise<TokenResponse> {
  const body = new URLSearchParams({ grant_type: 'client_credentials', ...parameters })
  const headers: Record<string, string> = {}
  if (method === 'client_secret_post') {
    body.set('client_id', clientId)
    body.set('client_secret', secret)
  } else {
    const pair = `${encodeURIComponent(clientId)}:${encodeURIComponent(secret)}`
    headers['authorization'] = `Basic ${Buffer.from(pair).toString('base64')}`
  }
  let response: Response
  try {
    const signal = AbortSignal.timeout(requestTimeoutMilliseconds)
    response = await fetch(`${url}/token`, { method: 'POST', headers, body, redirect: 'error', signal })
  } catch (error) {
    const { cause } = error as Error
    const reason = cause instanceof AggregateError ? cause.errors[0] : (cause ?? error)
    if (reason instanceof Error && reason.message === 'bad port') {
      throw usageError(
        `--url: no HTTP client connects to port ${new URL(url).port}, because it belongs to another protocol. ` +
          'Write the port of the service.',
      )
    }
    throw new OperatorError(`${url}/token ${noAnswerSentence(reason)}`, { cause: error })
  }
  const answer: unknown = await response.json().catch(() => undefined)
  if (response.ok && isTokenResponse(answer)) return answer
  const { error, error_description: description } = (answer ?? {}) as Record<string, unknown>
  const hint = hintFor(error, description, method)
  throw new OperatorError(
    `${url}/token answered ${response.status} ${shown(error ?? '')}: ${shown(description ?? 'the answer is not a token')} ` +
      `${hint}To see the reason in the ledger: bin/mintmark audit list --client ${clientId} --outcome refused --limit 1`,
  )
}

/** Why nothing was sent or came back, and what to do. */
function noAnswerSentence(reason: unknown): string {
  const error: NodeJS.ErrnoException = reason instanceof Error ? reason : new Error(String(reason))
  const { code = '', message } = error
  if (/SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)/.test(code))
    return `has a certificate that nobody vouches for here: ${message}. Name the file of its CA in NODE_EXTRA_CA_CERTS.`
  if (/CERT/.test(code))
    return `has a certificate that is not accepted: ${message}. Write another --url, or renew it.`
  // The whole message is a line of OpenSSL's source.
  if (/^ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/.test(code))
    return 'speaks no TLS. Write http:// in --url.'
  if (/^(?:UND_ERR_SOCKET|ECONNRESET)$/.test(code))
    return `closed the connection without an answer: ${message}. If it speaks TLS, write https:// in --url.`
  return `does not answer: ${message}. Start the service, or name the URL at which it runs with --url.`
}

/** Translates parameter names to options: the answer of the service is for programs and names parameters. */
function hintFor(error: unknown, description: unknown, method: string): string {
  if (error === 'invalid_target') return 'Name the resource with --audience. '
  if (/token_endpoint_auth_method/.test(String(description))) {
    const other = secretAuthMethods.find((known) => known !== method)
    return `Use --auth-method ${other}. `
  }
  return ''
}

/** The server that answers at an address may be another one. */
const shown = (said: unknown): string => plainText(String(said).slice(0, shownCharactersMax))
const shownCharactersMax = 300

/** What is printed is a JWT in compact form, and nothing that could write to the terminal. */
function isTokenResponse(answer: unknown): answer is TokenResponse {
  const token = (answer as Partial<TokenResponse> | null | undefined)?.access_token
  return typeof token === 'string' && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)
}

interface Decoded {
  readonly header: unknown
  readonly claims: Record<string, unknown>
}

/**
 * Decodes a token without verification, because it comes directly from the service.
 * @returns undefined if another server answered with another kind of token that has three parts (PASETO).
 */
function decode(accessToken: string): Decoded | undefined {
  try {
    const [header, claims] = accessToken
      .split('.', 2)
      .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString('utf8')) as Record<string, unknown>)
    return { header, claims: claims ?? {} }
  } catch {
    return undefined
  }
}

function printToken(accessToken: string, { header, claims }: Decoded): void {
  print(`header  ${json(header)}\n\nclaims  ${json(claims)}\n\n`)
  const { iat, exp } = claims
  if (typeof iat === 'number' && typeof exp === 'number') {
    print(`issued ${shownMoment(iat)}, expires ${shownMoment(exp)} (${exp - iat} seconds)\n\n`)
  }
  print(`${accessToken}\n`)
}
