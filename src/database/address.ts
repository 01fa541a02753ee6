import { type ConnectionOptions, createSecureContext } from 'node:tls'
import { OperatorError } from '../errors.ts'
import { fileProblem, readBounded, settingFileBytesMax } from '../lib/bounded-file.ts'
import { didYouMean } from '../lib/suggest.ts'
import { known, type Parameter, pointless } from './parameters.ts'

/**
 * Reads DATABASE_URL for one host; hosts.ts reads it for several. The driver has a reader of its own, but that one ignores what it does not know, prints
 * warnings, and gives `sslmode` another meaning than libpq. A mistake is refused here in one line.
 *
 * No message repeats a part of the URL that may belong to the password. Somebody who does not encode the
 * characters of a password moves its end to the place of the host, the database or a parameter.
 */
export interface DatabaseAddress {
  /** A host name, an address, or the directory of a socket, which begins with `/`. */
  readonly host: string
  readonly port: number
  readonly user: string | undefined
  readonly password: string | undefined
  readonly database: string | undefined
  /** The schema of all our tables and functions. */
  readonly schema: string
  readonly tls: ConnectionOptions | false
  readonly tlsNegotiation: 'postgres' | 'direct'
  readonly channelBinding: boolean
  readonly applicationName: string
  readonly options: string | undefined
  /** Host, port and database, for messages. */
  readonly place: string
  /** What an operator should know about this address, in whole sentences. */
  readonly warnings: readonly string[]
}

const unencoded =
  'DATABASE_URL: cannot tell where the password ends. In the user and the password, write special characters as ' +
  '%XX: "@" is %40, "/" is %2F, ":" is %3A, "?" is %3F, "#" is %23, "%" is %25.'

const form =
  /^postgres(?:ql)?:\/\/(?:(?<login>[^/?#]*)@)?(?<place>[^@/?#]*)(?:\/(?<database>[^?#]*))?(?:\?(?<query>[^#]*))?(?<rest>#.*)?$/

/** @throws OperatorError with the mistake in one line. None of them goes away by waiting. */
export function parseDatabaseUrl(url: string): DatabaseAddress {
  const { login, place = '', database = '', query = '', rest } = form.exec(url)?.groups ?? {}
  if (form.exec(url) === null || rest !== undefined || /@/.test(database + query)) {
    throw new OperatorError(unencoded)
  }
  const [user, password] = login === undefined ? [] : splitOnce(login, ':')
  const parameters = readParameters(query)
  const [host, port] = hostOf(place, parameters)
  const name = parameters.get('dbname') ?? (database === '' ? undefined : decode(database))
  const { tls, warnings } = tlsOf(host, parameters)
  requireWriter(parameters.get('target_session_attrs'))
  return {
    host,
    port,
    user: parameters.get('user') ?? (user === undefined || user === '' ? undefined : decode(user)),
    password: parameters.get('password') ?? (password === undefined ? undefined : decode(password)),
    database: name,
    schema: schemaOf(parameters.get('schema')),
    tls,
    tlsNegotiation: oneOf(parameters, 'sslnegotiation', ['postgres', 'direct']) ?? 'postgres',
    channelBinding: channelBindingOf(parameters, tls),
    applicationName: parameters.get('application_name') ?? 'mintmark',
    options: parameters.get('options'),
    place: `${host}${/:\d+$/.test(place) || parameters.has('port') ? `:${port}` : ''}${name === undefined ? '' : `/${name}`}`,
    warnings,
  }
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator)
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}

function decode(text: string): string {
  let decoded: string
  try {
    decoded = decodeURIComponent(text)
  } catch {
    throw new OperatorError(
      'DATABASE_URL: a "%" is not followed by two hex digits that make a character in UTF-8. Write "%" itself as %25.',
    )
  }
  // It would end the text that the server reads, and begin the name of a parameter.
  if (decoded.includes('\0')) throw new OperatorError('DATABASE_URL: contains a zero byte (%00). Remove it.')
  return decoded
}

/** As libpq reads them: a "+" does not mean a space. */
function readParameters(query: string): ReadonlyMap<Parameter, string> {
  const parameters = new Map<Parameter, string>()
  for (const pair of query === '' ? [] : query.split('&')) {
    const [key, value] = splitOnce(pair, '=')
    const name = decode(key)
    // Only a word is repeated: anything else may be the end of a password.
    if (!/^[A-Za-z_]{1,40}$/.test(name) || value === undefined) throw new OperatorError(unencoded)
    const reason = pointless[name]
    if (reason !== undefined) {
      throw new OperatorError(`DATABASE_URL: remove the parameter "${name}". ${reason}`)
    }
    if (!isKnown(name)) {
      throw new OperatorError(`DATABASE_URL: there is no parameter "${name}".${didYouMean(name, known)}`)
    }
    if (parameters.has(name)) throw new OperatorError(`DATABASE_URL: "${name}" is given twice.`)
    parameters.set(name, decode(value))
  }
  return parameters
}

const isKnown = (name: string): name is Parameter => (known as readonly string[]).includes(name)

function hostOf(place: string, parameters: ReadonlyMap<Parameter, string>): [host: string, port: number] {
  const match = /^(?:\[(?<v6>[\da-fA-F:.]+)\]|(?<name>[^:[\]]*))(?::(?<port>\d*))?$/.exec(place)
  if (match === null) {
    const isV6 = /^[\da-fA-F]*:[\da-fA-F:.]*:/.test(place)
    throw new OperatorError(
      isV6
        ? 'DATABASE_URL: an address of IPv6 stands in brackets, without a zone: [2001:db8::7].'
        : unencoded,
    )
  }
  if (parameters.get('host')?.includes(',')) {
    throw new OperatorError('DATABASE_URL: "port" must have one number, or one for each host.')
  }
  const host = parameters.get('host') ?? match.groups?.['v6'] ?? decode(match.groups?.['name'] ?? '')
  if (host === '') throw new OperatorError('DATABASE_URL: names no host.')
  if (!host.startsWith('/') && !/^[\w.:%-]+$/.test(host)) throw new OperatorError(unencoded)
  const port = (parameters.get('port') ?? match.groups?.['port']) || '5432'
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
    throw new OperatorError('DATABASE_URL: the port must be a whole number from 1 to 65535.')
  }
  return [host, Number(port)]
}

/** One schema for everything. Not the first one of search_path, because that depends on the role. */
function schemaOf(schema = 'public'): string {
  // Prisma writes it between quotes, and does not double one that it contains.
  // In a search_path, "$user" means the name of the role, also between quotes.
  const isReserved = /^pg_/i.test(schema) || ['$user', 'information_schema'].includes(schema)
  if (schema === '' || /["\0]/.test(schema) || Buffer.byteLength(schema) > 63 || isReserved) {
    throw new OperatorError(
      'DATABASE_URL: schema must be a name of 1 to 63 bytes without quotes that does not begin with "pg_", and not ' +
        '"$user" or "information_schema".',
    )
  }
  return schema
}

function requireWriter(wanted = 'any'): void {
  if (['any', 'read-write', 'primary'].includes(wanted)) return
  throw new OperatorError(
    'DATABASE_URL: target_session_attrs must be read-write, primary or any. Mintmark writes a record for every token.',
  )
}

function oneOf<Value extends string>(
  parameters: ReadonlyMap<Parameter, string>,
  name: Parameter,
  values: readonly Value[],
): Value | undefined {
  const value = parameters.get(name)
  if (value === undefined) return undefined
  const found = values.find((each) => each === value)
  if (found !== undefined) return found
  throw new OperatorError(`DATABASE_URL: ${name} must be one of ${values.join(', ')}.`)
}

function channelBindingOf(parameters: ReadonlyMap<Parameter, string>, tls: unknown): boolean {
  const chosen = oneOf(parameters, 'channel_binding', ['disable', 'prefer', 'require'])
  if (chosen === 'require') {
    throw new OperatorError(
      'DATABASE_URL: channel_binding=require cannot be enforced here. Write channel_binding=prefer, with ' +
        'sslmode=verify-full to be sure of the server.',
    )
  }
  return chosen === 'prefer' && tls !== false
}

const modes = ['disable', 'require', 'verify-ca', 'verify-full'] as const

/**
 * `sslmode` as in libpq, with three differences. Without it there is no TLS. `allow` and `prefer` are refused,
 * because somebody who can change the traffic can switch TLS off. `verify-full` without `sslrootcert` trusts the
 * authorities that Node trusts.
 */
function tlsOf(
  host: string,
  parameters: ReadonlyMap<Parameter, string>,
): { tls: ConnectionOptions | false; warnings: readonly string[] } {
  const asked = parameters.get('sslmode')
  if (asked === 'allow' || asked === 'prefer') {
    throw new OperatorError(
      `DATABASE_URL: sslmode=${asked} may or may not use TLS. Write sslmode=verify-full, sslmode=require for TLS ` +
        'without a check of the server, or sslmode=disable.',
    )
  }
  if (asked === 'no-verify') {
    throw new OperatorError('DATABASE_URL: sslmode=no-verify is called sslmode=require here, as in libpq.')
  }
  const files = readFiles(parameters)
  const mode = oneOf(parameters, 'sslmode', modes)
  if (mode === undefined && [...parameters.keys()].some((name) => /^ssl(?!mode)/.test(name))) {
    throw new OperatorError('DATABASE_URL: the other parameters of TLS need sslmode=verify-full.')
  }
  // As in libpq, a socket has no TLS.
  if (mode === undefined || mode === 'disable' || host.startsWith('/')) return { tls: false, warnings: [] }
  const isSystem = parameters.get('sslrootcert') === 'system'
  if (isSystem && mode !== 'verify-full') {
    throw new OperatorError('DATABASE_URL: sslrootcert=system needs sslmode=verify-full.')
  }
  if (mode === 'verify-ca' && files.ca === undefined) {
    throw new OperatorError(
      'DATABASE_URL: sslmode=verify-ca needs sslrootcert, the file of the authority that signed the certificate of ' +
        'the server.',
    )
  }
  // Otherwise NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would switch the check off.
  const checked = { ...files, rejectUnauthorized: true }
  if (mode === 'verify-full') return { tls: checked, warnings: [] }
  // libpq checks the authority, and not the name, as soon as it is given one.
  if (files.ca !== undefined)
    return { tls: { ...checked, checkServerIdentity: () => undefined }, warnings: [] }
  const warning =
    'DATABASE_URL: sslmode=require encrypts, and does not check that the server is the right one. Write ' +
    'sslmode=verify-full, with sslrootcert if an authority of your own signed its certificate.'
  return { tls: { ...files, rejectUnauthorized: false }, warnings: [warning] }
}

function readFiles(parameters: ReadonlyMap<Parameter, string>): ConnectionOptions {
  const root = parameters.get('sslrootcert')
  const ca =
    root === 'system' ? undefined : readPem('sslrootcert', root, /-----BEGIN (?:TRUSTED )?CERTIFICATE/)
  const cert = readPem('sslcert', parameters.get('sslcert'), /-----BEGIN CERTIFICATE/)
  const key = readPem('sslkey', parameters.get('sslkey'), /-----BEGIN [A-Z ]*PRIVATE KEY/)
  if ((cert === undefined) !== (key === undefined)) {
    throw new OperatorError('DATABASE_URL: sslcert and sslkey belong together. Set both or neither.')
  }
  const passphrase = parameters.get('sslpassword')
  const files = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(passphrase === undefined ? {} : { passphrase }),
  }
  try {
    createSecureContext(files)
  } catch (error) {
    // In the words of OpenSSL, which repeat nothing of the files and the password.
    throw new OperatorError(
      `DATABASE_URL: sslrootcert, sslcert, sslkey and sslpassword cannot be used together (${(error as Error).message}).`,
    )
  }
  return files
}

function readPem(name: Parameter, path: string | undefined, pem: RegExp): string | undefined {
  if (path === undefined) return undefined
  let text: string
  try {
    text = readBounded(path, settingFileBytesMax).toString('utf8')
  } catch (error) {
    const problem = fileProblem(error)
    throw new OperatorError(
      `DATABASE_URL: ${name}: cannot read the file ${JSON.stringify(path)}: ${problem}.`,
    )
  }
  if (pem.test(text)) return text
  throw new OperatorError(
    `DATABASE_URL: ${name}: the file ${JSON.stringify(path)} is not what it must be, in PEM.`,
  )
}
