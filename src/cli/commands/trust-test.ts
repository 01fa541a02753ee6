import { text as readStream } from 'node:stream/consumers'
import type { ProvenPossession } from '../../authentication/dpop.ts'
import { type FederatedAssertion, readFederatedText } from '../../authentication/federated-assertion.ts'
import { factsOf, tryAssertion } from '../../authentication/federated-jwt.ts'
import { RemoteKeys } from '../../authentication/remote-keys.ts'
import {
  type AssertionFacts,
  confirmationIn,
  type JudgedRule,
  judgeRules,
} from '../../authentication/trust-rules.ts'
import { OperatorError } from '../../errors.ts'
import { guardedFetch } from '../../http/guarded-fetch.ts'
import { isSpent } from '../../ledger/spent-identifier-store.ts'
import { fileProblem, readBounded, settingFileBytesMax } from '../../lib/bounded-file.ts'
import { momentText } from '../../lib/moment.ts'
import { parseNetwork } from '../../lib/network.ts'
import { plainText } from '../../lib/plain-text.ts'
import { limits } from '../../limits.ts'
import type { RegisteredClient } from '../../registry/client.ts'
import { mayBeMetadataClient } from '../../registry/client-metadata-prefix.ts'
import type { TrustRule, TrustTable } from '../../registry/issuer.ts'
import { decide, type Grant } from '../../token/decide.ts'
import { administeredTrust } from '../terminal/administered-trust.ts'
import { defineCommand, usageError } from '../terminal/command.ts'
import { type Connection, withDatabase } from '../terminal/connect.ts'
import { json, note, print } from '../terminal/output.ts'
import { Table } from '../terminal/table.ts'
import { terminal } from '../terminal/terminal.ts'
import { adviceOn, demandTexts, misfitText } from '../terminal/trust-words.ts'

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
    if (assertion === undefined)
      throw new OperatorError(
        `No token would be issued: ${refusal}. ${unreadable[refusal ?? ''] ?? ''}docs/reference/errors.md says what to do.`,
      )
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
      const spent = await replayHere(connection, trial, decision)
      const reason = trial.refusal ?? spent ?? (decision?.granted === false ? decision.reason : undefined)
      const grant = decision?.granted === true && spent === undefined ? decision : undefined
      const rule = judged.find((each) => each.rule.rule === grant?.rule?.name)?.rule
      const demands = grant === undefined ? [] : await demandsHere(connection, rule, trial.clientId)
      if (options.json) print(`${json(fields(facts, judged, grant, reason, demands))}\n`)
      else printTrial(facts, assertion, judged, grant, reason, config.issuer, now)
      if (demands.length > 0 && !options.json)
        print(`The caller must also bring ${demands.join(', and ')}. That is not tried here.\n`)
      for (const { rule, misfits } of judged) {
        if (misfits.length === 0) for (const advice of adviceOn(rule)) note(advice)
      }
      return grant === undefined ? 1 : 0
    })
  },
})

/** What a person looks at first when the text is not what a platform gives its workloads. */
const unreadable: Readonly<Record<string, string>> = {
  assertion_malformed: 'The file must hold one JWT and nothing else. ',
  assertion_type_wrong: 'The typ in its header says that it is another kind of token. ',
  assertion_about_user: 'It is about a user, and not about a workload. ',
  assertion_algorithm_unsupported: 'The alg in its header is not supported. ',
  assertion_header_unsupported: 'Its header has a member that is not supported, or a kid that is not text. ',
  assertion_claims_malformed:
    'It needs sub, aud and exp; exp must be later than iat and nbf; and iss and sub must be names. ',
}

async function readAssertion(file: string): Promise<string> {
  if (file === '-') return await readStream(terminal().stdin)
  try {
    return readBounded(file, settingFileBytesMax).toString('utf8')
  } catch (error) {
    throw new OperatorError(`--assertion: cannot read the file: ${fileProblem(error)}.`, { cause: error })
  }
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
  if (trial.refusal === 'issuer_keys_unavailable' && problems.length === 0)
    note(
      `The keys of the issuer did not come within ${limits.keysWaitMilliseconds / 1_000} s, for which a request waits. The ` +
        'service goes on fetching, so a later request may get a token.',
    )
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
  const now = connection.clock.nowSeconds()
  const request = {
    credentials: { method: 'federated_jwt' as const, clientId: options.client, assertion },
    target: options.resource,
    scopes,
    dpopProof: undefined,
  }
  const anywhere = client && { ...withoutCertificate(client), allowedNetworks: [] }
  const target = options.resource ?? (client?.access.size === 1 ? [...client.access.keys()][0] : undefined)
  const resource = resources.find(({ audience }) => audience === target)
  const view = { version: 0, client: anywhere, resource, trust: withoutCertificates(trust) }
  return decide(request, { ...proof, possession: assumedProof(assertion, now) }, view, '', now)
}

/** Whether the service would refuse because the assertion was used before. */
async function replayHere(
  { database }: Connection,
  { digest }: Trial,
  decision: Awaited<ReturnType<typeof decideHere>>,
): Promise<'assertion_replayed' | undefined> {
  if (digest === undefined || decision?.granted !== true || decision.rule?.isSpent === false) return undefined
  return (await isSpent(database.readPool, digest)) ? 'assertion_replayed' : undefined
}

/** Nobody can show a certificate or a proof here, so the caller is assumed to have what it must bring. It is told below. */
function assumedProof({ claims }: FederatedAssertion, now: number): ProvenPossession {
  return {
    thumbprint: confirmationIn(claims).jkt ?? 'its key',
    algorithm: 'ES256',
    issuedAt: now,
    notBefore: undefined,
    expiresAt: undefined,
    refusal: undefined,
    nonce: undefined,
    once: { digest: '', expiresAt: now, reason: 'dpop_proof_replayed' },
  }
}

const withoutCertificate = (client: RegisteredClient): RegisteredClient => ({
  ...client,
  requiredCertificate: undefined,
  certificateBoundTokens: false,
})

function withoutCertificates(trust: TrustTable): TrustTable {
  const issuers = [...trust.issuers.values()].map((issuer) => ({
    ...issuer,
    rules: issuer.rules.map((rule) => ({ ...rule, requiredCertificate: undefined })),
  }))
  return { ...trust, issuers: new Map(issuers.map((issuer) => [issuer.issuer, issuer])) }
}

/** What the caller must bring beside the assertion, by the rule and by its client. */
async function demandsHere(
  connection: Connection,
  rule: TrustRule | undefined,
  clientId: string | undefined,
): Promise<readonly string[]> {
  if (clientId === undefined) return []
  const { clients } = await administeredTrust(connection, [clientId])
  const [client] = clients
  const asked = client?.requiredCertificate
  const isBound = client?.certificateBoundTokens === true && asked === undefined
  const all = [
    ...(rule === undefined ? [] : demandTexts(rule)),
    ...demandTexts({ requiredCertificate: asked }),
    ...(isBound && rule?.requiredCertificate === undefined ? ['a certificate'] : []),
    ...(client?.dpopBoundTokens === true && rule?.requireDpop === undefined ? ['a DPoP proof'] : []),
  ]
  return [...new Set(all)]
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
  const said = grant.subject === undefined ? '' : ` with the sub ${grant.subject}`
  print(`for ${grant.lifetimeSeconds} s${said}. The assertion counts ${use}. Nothing was issued.\n`)
}

function fields(
  facts: AssertionFacts,
  judged: readonly JudgedRule[],
  grant: Grant | undefined,
  reason: string | undefined,
  demands: readonly string[],
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
            must_bring: demands,
            sub: grant.subject ?? grant.clientId,
            claims: grant.claims ?? {},
          },
    reason: reason ?? null,
  }
}
