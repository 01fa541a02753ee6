import { createReadStream } from 'node:fs'
import { text as readStream } from 'node:stream/consumers'
import { type FederatedAssertion, readFederatedText } from '../../authentication/federated-assertion.ts'
import { factsOf, tryAssertion } from '../../authentication/federated-jwt.ts'
import { RemoteKeys } from '../../authentication/remote-keys.ts'
import { type AssertionFacts, type JudgedRule, judgeRules } from '../../authentication/trust-rules.ts'
import { OperatorError } from '../../errors.ts'
import { guardedFetch } from '../../http/guarded-fetch.ts'
import { momentText } from '../../lib/moment.ts'
import { parseNetwork } from '../../lib/network.ts'
import { plainText } from '../../lib/plain-text.ts'
import { mayBeMetadataClient } from '../../registry/client-metadata-prefix.ts'
import { decide, type Grant } from '../../token/decide.ts'
import { administeredTrust } from '../terminal/administered-trust.ts'
import { defineCommand, usageError } from '../terminal/command.ts'
import { type Connection, withDatabase } from '../terminal/connect.ts'
import { json, note, print } from '../terminal/output.ts'
import { Table } from '../terminal/table.ts'
import { terminal } from '../terminal/terminal.ts'
import { adviceOn, misfitText } from '../terminal/trust-words.ts'

export const trustTest = defineCommand({
  path: ['trust', 'test'],
  summary: 'say which rule an assertion fits, which it does not and why; nothing is issued',
  details:
    'Fetches the keys of the issuer as the service does, verifies the signature, and decides as the service does at this\n' +
    'moment. The assertion is not used up. The file has a token that the issuer really signs: handle it like a password.\n' +
    'The exit code is 1 if no token would be issued.',
  options: {
    assertion: { type: 'string', value: 'FILE', description: 'the file with the assertion; - for stdin' },
    client: { type: 'string', value: 'CLIENT', description: 'the client_id that the caller would send' },
    resource: { type: 'string', value: 'URI', description: 'the resource that it would ask for' },
    scope: { type: 'string', value: 'SCOPE', multiple: true, description: 'a scope that it would ask for' },
    json: { type: 'boolean', description: 'print one JSON document instead of text' },
  },
  examples: [
    ['bin/mintmark trust test --assertion token.jwt', 'the token of a job, in a file'],
    [
      'kubectl create token api --audience https://tokens.example.com | bin/mintmark trust test --assertion -',
      'the token of a service account of Kubernetes',
    ],
  ],
  async run(options) {
    if (options.assertion === undefined) throw usageError('--assertion: name the file with the assertion.')
    const { assertion, refusal } = readFederatedText((await readAssertion(options.assertion)).trim())
    if (assertion === undefined) throw new OperatorError(`This is no assertion of a workload: ${refusal}.`)
    if (assertion.issuer === assertion.subject && mayBeMetadataClient(assertion.issuer))
      note(
        `${plainText(assertion.issuer)} signed this about itself. "trust document" tries clients that publish a document.`,
      )
    return await withDatabase(async (connection) => {
      const { clock, config } = connection
      const now = clock.nowSeconds()
      const facts = factsOf(assertion, config.issuer)
      const trial = await tryHere(connection, assertion, options.client)
      const judged = judgeRules(trial.issuer?.rules ?? [], facts, now)
      const decision =
        trial.proof === undefined ? undefined : await decideHere(connection, assertion, trial, options)
      const reason = trial.refusal ?? (decision?.granted === false ? decision.reason : undefined)
      const grant = decision?.granted === true ? decision : undefined
      if (options.json) print(`${json(fields(facts, judged, grant, reason))}\n`)
      else printTrial(facts, assertion, judged, grant, reason, config.issuer, now)
      for (const { rule, misfits } of judged) {
        if (misfits.length === 0) for (const advice of adviceOn(rule)) note(advice)
      }
      return grant === undefined ? 1 : 0
    })
  },
})

function readAssertion(file: string): Promise<string> {
  return readStream(file === '-' ? terminal().stdin : createReadStream(file)).catch((error: unknown) => {
    throw new OperatorError(`${file}: cannot read it: ${(error as Error).message}`, { cause: error })
  })
}

/** Verifies the assertion with keys that are fetched now. */
async function tryHere(connection: Connection, assertion: FederatedAssertion, clientId: string | undefined) {
  const { config, clock } = connection
  const problems: string[] = []
  const remoteKeys = new RemoteKeys({
    fetch: guardedFetch({
      allowedNetworks: config.fetchPrivateNetworks.map(parseNetwork),
      authorities: config.fetchCertificateAuthorities,
    }),
    monotonicMilliseconds: clock.monotonicMilliseconds,
    onFailed: (address, problem) => problems.push(`${address}: ${problem}`),
    onRecovered() {},
    onReplaced() {},
  })
  const { trust } = await administeredTrust(connection, [])
  const trial = await tryAssertion(trust, remoteKeys, assertion, clientId, config.issuer, clock.nowSeconds())
  for (const problem of problems) note(`The keys of the issuer cannot be fetched: ${problem}.`)
  return { ...trial, issuer: trust.issuers.get(assertion.issuer) }
}

type Trial = Awaited<ReturnType<typeof tryHere>>

/** The decision of the service, from wherever its client may call. */
async function decideHere(
  connection: Connection,
  assertion: FederatedAssertion,
  { proof, clientId }: Trial,
  options: {
    readonly resource: string | undefined
    readonly scope: readonly string[]
    readonly client: string | undefined
  },
) {
  if (proof === undefined || clientId === undefined) return undefined
  const { trust, clients, resources } = await administeredTrust(connection, [clientId])
  const [client] = clients
  if (client !== undefined && client.allowedNetworks.length > 0)
    note(`${clientId} may call from its networks only. Whether this caller does is not tried.`)
  const scopes = options.scope.length === 0 ? undefined : options.scope
  const request = {
    credentials: { method: 'federated_jwt' as const, clientId: options.client, assertion },
    target: options.resource,
    scopes,
    dpopProof: undefined,
  }
  const anywhere = client && { ...client, allowedNetworks: [] }
  const target = options.resource ?? (client?.access.size === 1 ? [...client.access.keys()][0] : undefined)
  const resource = resources.find(({ audience }) => audience === target)
  return decide(
    request,
    proof,
    { version: 0, client: anywhere, resource, trust },
    '',
    connection.clock.nowSeconds(),
  )
}

function printTrial(
  facts: AssertionFacts,
  assertion: FederatedAssertion,
  judged: readonly JudgedRule[],
  grant: Grant | undefined,
  reason: string | undefined,
  issuer: string,
  now: number,
): void {
  const { expiresAt, issuedAt } = facts
  const age = issuedAt === undefined ? 'it does not say when' : `${Math.round(now - issuedAt)} s ago`
  const audience = facts.audience === 'other' ? `, and must be ${issuer}` : ''
  print(`The assertion\n  issuer    ${plainText(facts.issuer)}\n  subject   ${plainText(facts.subject)}\n`)
  print(`  audience  ${plainText(assertion.audience ?? 'several, or none')}${audience}\n`)
  print(`  issued    ${age}, expires ${momentText(Math.floor(expiresAt))}\n\n`)
  if (judged.length > 0) {
    const columns = [{ title: 'RULE' }, { title: 'FITS' }, { title: 'WHY NOT' }]
    const rows = judged.map(({ rule, misfits }) => [
      rule.rule,
      misfits.length === 0 ? 'yes' : 'no',
      misfits.map(misfitText).join('; '),
    ])
    print(`${new Table(columns).render(rows)}\n`)
  }
  if (grant === undefined) {
    print(`No token would be issued: ${reason}. docs/reference/errors.md says what to do.\n`)
    return
  }
  const scopes = grant.scopes.length === 0 ? 'no scope' : grant.scopes.join(' ')
  const use = grant.rule?.isSpent === false ? 'until it expires' : 'once'
  print(
    `By the rule ${grant.rule?.name}, ${grant.clientId} would get a token for ${grant.audience} with ${scopes}, `,
  )
  print(`for ${grant.lifetimeSeconds} s. The assertion counts ${use}. Nothing was issued.\n`)
}

function fields(
  facts: AssertionFacts,
  judged: readonly JudgedRule[],
  grant: Grant | undefined,
  reason: string | undefined,
): unknown {
  return {
    issuer: facts.issuer,
    subject: facts.subject,
    rules: judged.map(({ rule, misfits }) => ({
      rule: rule.rule,
      fits: misfits.length === 0,
      why_not: misfits.map(misfitText),
    })),
    would_issue:
      grant === undefined
        ? null
        : {
            rule: grant.rule?.name,
            client_id: grant.clientId,
            audience: grant.audience,
            scope: grant.scopes.join(' '),
            expires_in: grant.lifetimeSeconds,
          },
    reason: reason ?? null,
  }
}
