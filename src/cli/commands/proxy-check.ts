import { hash, randomBytes, X509Certificate } from 'node:crypto'
import { exitCodes, OperatorError } from '../../errors.ts'
import type { AuditEntry } from '../../ledger/query.ts'
import { findByRequestIds } from '../../ledger/record-store.ts'
import { fileProblem, readBounded, settingFileBytesMax } from '../../lib/bounded-file.ts'
import { defineCommand, jsonOption, usageError } from '../terminal/command.ts'
import { withDatabase } from '../terminal/connect.ts'
import { type Spoof, spoofsOf } from '../terminal/forged-headers.ts'
import { askFrontDoor, type DoorAnswer } from '../terminal/front-door.ts'
import { json, note, print } from '../terminal/output.ts'
import { Table } from '../terminal/table.ts'

/** Milliseconds that the clock of this machine may be ahead of the service's. */
const clockDifferenceMax = 3_600_000

export const proxyCheck = defineCommand({
  path: ['proxy', 'check'],
  summary: 'try to forge the certificate of a caller through the front door',
  details:
    'It sends token requests without a secret. Each has an invented certificate in a header, as a forger would send it.\n' +
    'The answers do not show what the service believed, so the command reads that from the ledger. It needs only the\n' +
    'database for this. The exit code is 0 only if every forgery failed for certain. The requests leave refusals in the\n' +
    'ledger, of the user agent mintmark-proxy-check.',
  positionals: [{ name: 'URL', description: 'the URL that callers use, through the proxy' }],
  options: {
    ca: {
      type: 'string',
      value: 'FILE',
      description: "the CA of the proxy's certificate; by default those that Node has",
    },
    ...jsonOption,
  },
  examples: [
    ['bin/mintmark proxy check https://tokens.example.com', 'after every change of the proxy'],
    ['bin/mintmark proxy check https://localhost:8443 --ca front-ca.crt', 'with a CA of your own'],
  ],
  async run(options, [given = '']) {
    const url = readUrl(given)
    const authorities = options.ca === undefined ? undefined : readAuthorities(options.ca)
    return await withDatabase(async ({ database, clock }) => {
      const { makeForgery } = await import('../../certificates/forgery.ts')
      const forgery = await makeForgery(clock.nowSeconds(), randomBytes)
      const forged = hash('sha256', forgery.leaf, 'base64url')
      const own = hash('sha256', new X509Certificate(forgery.own.certificate).raw, 'base64url')
      const since = clock.nowMilliseconds() - clockDifferenceMax
      const recordsOf = async (answers: readonly (DoorAnswer | undefined)[]) => {
        const ids = answers.flatMap((answer) => answer?.requestId ?? [])
        const found = await findByRequestIds(database.prisma, ids, since)
        return new Map(found.map((record) => [record.requestId, record]))
      }
      const body = 'grant_type=client_credentials&client_id=proxy-check'
      const ask = ({ headers, isBeside }: Omit<Spoof, 'what'>) =>
        askFrontDoor(url, headers, body, { authorities, own: isBeside && forgery.own })
      const honest = await ask({ headers: [] })
      requireHonest(url, honest, (await recordsOf([honest])).get(honest?.requestId))
      const takesAny = url.protocol === 'https:' && (await takesUnknown(ask))
      if (!takesAny)
        note(
          'A connection with an unknown certificate is refused, so nothing was tried on such a connection.',
        )
      const tried: Tried[] = []
      for (const spoof of spoofsOf(forgery)) {
        if (takesAny || spoof.isBeside !== true) tried.push({ spoof, answer: await ask(spoof) })
      }
      const records = await recordsOf(tried.map(({ answer }) => answer))
      const rows = tried.map(({ spoof, answer }) => ({
        what: spoof.what,
        answer,
        ...verdictOf(answer, answer && records.get(answer.requestId), { forged, own: spoof.isBeside && own }),
      }))
      if (options.json) print(`${json(rows.map(fieldsOf))}\n`)
      else print(new Table(titles).render(rows.map(cellsOf)))
      return conclude(rows)
    })
  },
})

interface Tried {
  readonly spoof: Spoof
  readonly answer: DoorAnswer | undefined
}

type Verdict = 'failed' | 'BELIEVED' | 'not known'

interface Row {
  readonly what: string
  readonly answer: DoorAnswer | undefined
  readonly saw: string
  readonly verdict: Verdict
}

const titles = [{ title: 'FORGED' }, { title: 'ANSWER' }, { title: 'THE SERVICE SAW' }, { title: 'FORGERY' }]

const cellsOf = ({ what, answer, saw, verdict }: Row): string[] => [
  what,
  answer === undefined ? '-' : String(answer.status),
  saw,
  verdict,
]

const fieldsOf = ({ what, answer, saw, verdict }: Row) => ({
  forged: what,
  status: answer?.status ?? null,
  request_id: answer?.requestId ?? null,
  saw,
  forgery: verdict === 'not known' ? 'not_known' : verdict.toLowerCase(),
})

/** What the record says: a caller with a certificate is recorded with it, whatever the result of the request. */
function verdictOf(
  answer: DoorAnswer | undefined,
  record: AuditEntry | undefined,
  { forged, own }: { readonly forged: string; readonly own: string | undefined },
): Pick<Row, 'saw' | 'verdict'> {
  if (answer === undefined) return { saw: 'no answer came', verdict: 'not known' }
  if (answer.requestId === undefined) {
    const isRefused = answer.status >= 400 && answer.status < 500
    return isRefused
      ? { saw: 'nothing: it was refused before', verdict: 'failed' }
      : { saw: 'it is not known: the answer does not come from the service', verdict: 'not known' }
  }
  if (record === undefined) return { saw: 'there is no record', verdict: 'not known' }
  const { reason = '', credentialId } = record
  if (record.outcome === 'refused' && reason.startsWith('certificate_header_'))
    return { saw: `the header, and refused it: ${reason}`, verdict: 'failed' }
  if (credentialId === forged) return { saw: `the made-up certificate: ${reason}`, verdict: 'BELIEVED' }
  if (credentialId !== undefined && credentialId === own)
    return { saw: 'the certificate of the connection', verdict: 'failed' }
  if (credentialId !== undefined) return { saw: `another certificate: ${reason}`, verdict: 'not known' }
  if (reason === 'authentication_missing' || reason === 'certificate_missing')
    return { saw: 'no certificate', verdict: 'failed' }
  return { saw: reason, verdict: 'not known' }
}

/** Whether a caller with a certificate of an unknown CA reaches the service. */
async function takesUnknown(ask: (how: Omit<Spoof, 'what'>) => Promise<DoorAnswer | undefined>) {
  try {
    return (await ask({ headers: [], isBeside: true }))?.requestId !== undefined
  } catch {
    // The handshake has failed.
    return false
  }
}

/** Without its records the result would mean nothing: the URL must lead to a service of this ledger. */
function requireHonest(url: URL, answer: DoorAnswer | undefined, record: AuditEntry | undefined): void {
  if (answer?.requestId === undefined)
    throw new OperatorError(
      `${url.href} ${answer === undefined ? 'does not answer' : `answered ${answer.status} without X-Request-Id`}. ` +
        'So nothing was tried. Give the URL of the service, and let the proxy pass X-Request-Id on.',
    )
  if (record === undefined)
    throw new OperatorError(
      `${url.href} answered, and this ledger has no record of it. So nothing was tried. DATABASE_URL must be that of ` +
        'the service behind the URL.',
    )
  if (record.reason?.startsWith('certificate_header_') === true)
    throw new OperatorError(
      `${url.href}: a request without a certificate is refused for a header that the proxy adds: ${record.reason}. So ` +
        'nothing was tried. Where its caller has no certificate, the proxy must send no such header.',
    )
  if (record.credentialId !== undefined)
    throw new OperatorError(
      `${url.href}: a request without a certificate counts as one with the certificate ${record.credentialId}. That is ` +
        "the proxy's own certificate, so every caller counts as the proxy. Name it in " +
        'MINTMARK_CLIENT_CERTIFICATE_PROXY.',
    )
}

function conclude(rows: readonly Row[]): number {
  const of = (verdict: Verdict) => rows.filter((row) => row.verdict === verdict).length
  const [believed, unknown] = [of('BELIEVED'), of('not known')]
  if (believed > 0)
    note(
      `${believed === 1 ? 'One forgery was' : `${believed} forgeries were`} believed: anybody can act as any client. The proxy ` +
        'passes on what its caller wrote. Let it replace the header, and remove the other ones.',
    )
  if (unknown > 0)
    note(
      `The result of ${unknown} is not known. Look at the proxy's log, and try again when the service is not busy.`,
    )
  if (believed + unknown > 0) return exitCodes.failed
  note(`Every forgery failed, ${rows.length} in all.`)
  return exitCodes.ok
}

function readUrl(given: string): URL {
  if (!URL.canParse(given) || !/^https?:$/.test(new URL(given).protocol))
    throw usageError(`"${given}" is not an http URL. Write a URL like https://tokens.example.com`)
  const url = new URL(given.replace(/\/(?:token)?$/, ''))
  if (url.search !== '' || url.hash !== '' || url.username !== '')
    throw usageError(
      `"${given}" has more than a host and a path. Write a URL like https://tokens.example.com`,
    )
  return url
}

function readAuthorities(path: string): string {
  try {
    return readBounded(path, settingFileBytesMax).toString('utf8')
  } catch (error) {
    throw new OperatorError(`--ca: cannot read the file: ${fileProblem(error)}.`, { cause: error })
  }
}
