import { type ClientMetadata, openClientMetadata } from '../../authentication/client-metadata.ts'
import { factsAbout } from '../../authentication/metadata-client.ts'
import { type JudgedRule, judgeRules } from '../../authentication/trust-rules.ts'
import { OperatorError } from '../../errors.ts'
import { guardedFetch } from '../../http/guarded-fetch.ts'
import { parseNetwork } from '../../lib/network.ts'
import {
  isClientMetadataUrl,
  metadataIssuerOf,
  metadataWorkloadId,
} from '../../registry/client-metadata-prefix.ts'
import { administeredTrust } from '../terminal/administered-trust.ts'
import { defineCommand, usageError } from '../terminal/command.ts'
import { type Connection, withDatabase } from '../terminal/connect.ts'
import { json, print } from '../terminal/output.ts'
import { Table } from '../terminal/table.ts'
import { accessText, misfitText } from '../terminal/trust-words.ts'

export const trustDocument = defineCommand({
  path: ['trust', 'document'],
  summary: 'fetch the document of a client and say what its client may have; nothing is issued',
  details:
    'For clients whose id is the address of a document about them. It is fetched as the service does: https, no redirects,\n' +
    'public addresses, within bounds. The exit code is 1 if its client would get no token.',
  positionals: [{ name: 'URL', description: 'the client_id, exactly as the client sends it' }],
  options: { json: { type: 'boolean', description: 'print one JSON document instead of text' } },
  examples: [
    [
      'bin/mintmark trust document https://agents.example.com/one.json',
      'its keys, its identity and the rules',
    ],
  ],
  async run(options, [url = '']) {
    if (!isClientMetadataUrl(url))
      throw usageError(
        'URL: write an https address with a path, without a user, a query, a fragment, % and dot segments.',
      )
    return await withDatabase(async (connection) => {
      const { trust } = await administeredTrust(connection, [])
      const issuer = metadataIssuerOf(trust, url)
      if (issuer === undefined)
        throw new OperatorError(
          `No active prefix stands before ${url}. "bin/mintmark trust list" shows all, and "trust add" with --client-metadata adds one.`,
        )
      const { metadata, problem } = await fetchHere(connection, url, issuer.issuer)
      const now = connection.clock.nowSeconds()
      const rules = judgeRules(issuer.rules, factsAbout(url, freshAt(now)), now)
      const workloadId = metadataWorkloadId(url)
      const isBlocked = trust.blocked.has(workloadId)
      const found = { url, prefix: issuer.issuer, workloadId, isBlocked, metadata, problem, rules }
      if (options.json) print(`${json(fields(found))}\n`)
      else printFound(found)
      const fits = rules.some(({ misfits }) => misfits.length === 0)
      return metadata !== undefined && fits && !isBlocked ? 0 : 1
    })
  },
})

/** An assertion as a good client makes it. */
const freshAt = (now: number) =>
  ({ audience: 'issuer', issuedAt: now, notBefore: undefined, expiresAt: now + 60 }) as const

interface Found {
  readonly url: string
  readonly prefix: string
  readonly workloadId: string
  readonly isBlocked: boolean
  readonly metadata?: ClientMetadata | undefined
  readonly problem?: string | undefined
  readonly rules: readonly JudgedRule[]
}

async function fetchHere({ config, clock }: Connection, url: string, prefix: string) {
  const documents = openClientMetadata({
    fetch: guardedFetch({
      allowedNetworks: config.fetchPrivateNetworks.map(parseNetwork),
      authorities: config.fetchCertificateAuthorities,
    }),
    monotonicMilliseconds: clock.monotonicMilliseconds,
    onFailed() {},
    onRecovered() {},
    onChanged() {},
  })
  const place = { url, prefix }
  const metadata = await documents.renewed(place)
  return { metadata, problem: documents.problemOf(place) }
}

function printFound({ url, prefix, workloadId, isBlocked, metadata, problem, rules }: Found): void {
  print(`${url}\n  prefix    ${prefix}\n  workload  ${workloadId}${isBlocked ? ', which is blocked' : ''}\n`)
  if (metadata === undefined) {
    print(`\nIts document gives nothing: ${problem ?? 'it does not answer in time'}.\n`)
    return
  }
  print(`  document  SHA-256 ${metadata.documentHash}\n\n`)
  const keys = metadata.keys.map(({ thumbprint, algorithm, kid = '-' }) => [thumbprint, algorithm, kid])
  print(`${new Table(['KEY', 'ALGORITHM', 'KID'].map((title) => ({ title }))).render(keys)}\n`)
  const titles = ['RULE', 'FITS', 'WHY NOT', 'MAY HAVE'].map((title) => ({ title }))
  const lines = rules.map(({ rule, misfits }) => [
    rule.rule,
    misfits.length === 0 ? 'yes' : 'no',
    misfits.map(misfitText).join('; '),
    accessText(rule.access),
  ])
  print(new Table(titles).render(lines))
}

function fields({ url, prefix, workloadId, isBlocked, metadata, problem, rules }: Found): unknown {
  return {
    client_id: url,
    prefix,
    workload_id: workloadId,
    blocked: isBlocked,
    document_sha256: metadata?.documentHash ?? null,
    problem: metadata === undefined ? (problem ?? null) : null,
    keys: (metadata?.keys ?? []).map(({ thumbprint, algorithm, kid }) => ({
      thumbprint,
      algorithm,
      kid: kid ?? null,
    })),
    rules: rules.map(({ rule, misfits }) => ({
      rule: rule.rule,
      fits: misfits.length === 0,
      why_not: misfits.map(misfitText),
    })),
  }
}
