/**
 * Every limit of the service, with its unit and its reason. These limits are part of the design. A limit that operators
 * should choose themselves is an environment variable instead (see config.ts).
 *
 * Long because it is one list, which a page of the documentation shows whole.
 */
export const limits = {
  // ── The request ──────────────────────────────────────────────────────────────────────────────────
  /** Bytes of a token request's body. A normal form is under 1 KiB; a client assertion may take 8 KiB. */
  bodyBytesMax: 64 * 1024,
  /** Bytes of all request headers together. Above it Node answers 431. */
  headerBytesMax: 16 * 1024,
  /** Parameters in one form. Each costs a map entry before the client is authenticated. */
  formParametersMax: 64,
  /** Characters of one form parameter after decoding. */
  parameterCharactersMax: 16 * 1024,
  /** Scope tokens in one request. A record holds all of them, so a record must have room for this many. */
  scopesPerRequestMax: 100,
  /** Seconds from a request's first byte until its headers must be complete. */
  headersTimeoutSeconds: 10,
  /** Seconds until the whole request must have arrived. A form of a kilobyte needs milliseconds. */
  requestTimeoutSeconds: 15,
  /**
   * Token requests that one process has at the same time, those in line included. More are refused with 503 before their body is read.
   * At 10,000 tokens a second this is a fifth of a second of work. With more, every request would wait longer and none
   * would be faster.
   */
  requestsUnderWayMax: 2_000,
  /**
   * Milliseconds of work that a process begins at a time, judged by what it lately answered: half of the time that a
   * commit may take. So requests that are begun get an answer, even if the machine or its database is slow. The others
   * wait in line.
   */
  answerMillisecondsAim: 450,
  /** Token requests that are worked on at the same time, at least, however slow the machine is. One address may have more. */
  requestsBegunMin: 64,
  /** Milliseconds between two counts of the answers. */
  admissionWindowMilliseconds: 250,
  /** Milliseconds between two searches for connections that are over one of the two timeouts above. */
  connectionCheckIntervalMilliseconds: 1_000,
  /** Seconds that an idle connection stays open. A TLS handshake costs as much as ten tokens, so callers reuse connections. */
  keepAliveTimeoutSeconds: 75,

  // ── Connections ──────────────────────────────────────────────────────────────────────────────────
  /**
   * Open connections of one process. Each takes about 20 KiB, so all together take at most 200 MiB. At the limit the
   * longest idle connection is closed for a new one, so health checks are answered too. If the process may open fewer
   * files, the limit is lower and the log says so.
   */
  connectionsMax: 10_000,
  /** Files that a process needs besides connections: its own, and its connections to the database. */
  openFilesReserved: 100,
  /**
   * Open connections from one address. At the limit the longest idle connection of this address is closed for a new
   * one. An IPv6 network of 64 bits counts as one address. This limit and the others per address do not apply to
   * trusted proxies, and with several workers each has its share of them.
   */
  connectionsPerAddressMax: 2_000,
  /**
   * Requests of one address that are answered at the same time. More wait for their turn. At 5 ms a commit this is
   * 20,000 tokens a second. With more, an address could delay all others.
   */
  requestsPerAddressMax: 100,
  /**
   * Refusals a second that one address gets at once for requests over a limit of failures. More are held back. A client with
   * an old secret never gets as many; somebody who guesses does.
   */
  refusalsAtOncePerAddressMax: 20,
  /** Milliseconds for which such a refusal is held back. Its connection takes no other request meanwhile. */
  refusalHeldMilliseconds: 1_000,
  /**
   * Pipelined requests of one process that have been read and wait for the answer to the one before. Each takes about
   * 4 KiB. A connection that adds another one is closed.
   */
  pipelinedRequestsMax: 4_000,
  /** The same for the requests of one address. */
  pipelinedRequestsPerAddressMax: 1_000,
  /**
   * Requests of one process whose body has not arrived with the headers. Each may take as much as a whole body, so all
   * together take at most 32 MiB. The connection that is the first of them is closed for a new one.
   */
  unfinishedBodiesMax: 500,
  /** The same for the requests of one address. */
  unfinishedBodiesPerAddressMax: 50,
  /**
   * Milliseconds from one new connection of an address at this limit to the next one that is read. Each may bring one
   * more body, which closes the oldest. So a stranger makes the service begin and close at most 50 of them a second.
   * Another caller at the same address may have to try again.
   */
  unreadConnectionMilliseconds: 20,
  /**
   * Milliseconds from the begin of a stop until connections without a request are closed. A load balancer opens some in
   * advance and never uses them. A request that is on its way is still answered.
   */
  silentConnectionMilliseconds: 1_000,
  /** Seconds until a TLS handshake must be complete. */
  handshakeTimeoutSeconds: 10,
  /** Seconds without any progress after which a busy connection is closed: its peer does not read its answer. */
  stalledConnectionSeconds: 30,

  // ── What is registered ───────────────────────────────────────────────────────────────────────────
  /** Characters of a client's id. Every token of the client contains it twice. */
  clientIdCharactersMax: 128,
  /** Characters of a display name, which must fit into one line of a list. */
  nameCharactersMax: 200,
  /** Characters of a client's owner: a team or a person, in one column of a list. */
  ownerCharactersMax: 200,
  /** Characters of a client's purpose: a sentence or two. Longer texts belong in a document of their own. */
  purposeCharactersMax: 500,
  /** Characters of a resource's URI. Every token for the resource contains it. */
  audienceCharactersMax: 512,
  /** Characters of one scope token. RFC 6749 §3.3 sets no limit. */
  scopeCharactersMax: 128,
  /**
   * Characters of the form of a subject. With the longest id of a client the subject has at most 245 characters, and AWS
   * keeps 255.
   */
  subjectFormCharactersMax: 128,
  /** Claims that one client or one resource gives its tokens. */
  fixedClaimsMax: 20,
  /** Characters of such a claim's name. AWS has a name of 43 characters before that of a session tag. */
  fixedClaimNameCharactersMax: 200,
  /** Characters of a text in such a claim. AWS takes as many in a session tag. */
  fixedClaimTextCharactersMax: 256,
  /** Texts in the list of one such claim. */
  fixedClaimValuesMax: 20,
  /**
   * Bytes of all such claims of one client or one resource, as JSON. With those of both a token gets 5.5 KiB longer, and
   * many servers take 8 KiB in one header.
   */
  fixedClaimsBytesMax: 2_048,
  /** Scopes of one resource. A request without a scope gets all scopes that its client has there. */
  scopesPerResourceMax: 100,
  /** Resources that one client has access to. While a client is in memory, all of them are. */
  accessPerClientMax: 200,
  /** Valid secrets of one client. Two are enough to rotate; the others are for several deployments. */
  secretsPerClientMax: 10,
  /**
   * Longest time in seconds for which a replaced secret stays valid: 90 days. A longer time would not be a replacement.
   */
  secretOverlapSecondsMax: 90 * 86_400,
  /** Shortest time in seconds without use after which a replaced secret ends. Uses are written every half minute. */
  secretUnusedSecondsMin: 300,
  /** Leaked secrets that one command revokes. Each costs a hash, so these take some minutes. */
  leakedSecretsMax: 10_000,
  /** Bytes of a file of leaked secrets. */
  leakedFileBytesMax: 4 * 1024 * 1024,
  /** Valid keys of one client. Two are enough to rotate; the others are for several deployments. */
  keysPerClientMax: 10,
  /** Characters of a key's `kid`. */
  keyIdCharactersMax: 256,
  /** Bits of a client's RSA key. RFC 7518 §3.3 requires 2048 or more. */
  clientKeyBitsMin: 2_048,
  /** Bits of a client's RSA key at most. A signature of a larger one costs more to verify and protects no better. */
  clientKeyBitsMax: 4_096,
  /** Issuers that are trusted. All of them are in memory, with their rules. */
  trustedIssuersMax: 100,
  /** Rules of one issuer. Each assertion is compared with all of them. */
  rulesPerIssuerMax: 200,
  /** Conditions of one rule. */
  conditionsPerRuleMax: 20,
  /** Values that one condition lists. */
  valuesPerConditionMax: 100,
  /** Characters of an issuer. Records name it whole. */
  issuerCharactersMax: 240,
  /** Keys of one issuer. The others in its set are ignored. */
  issuerKeysMax: 100,
  /** Characters of a claim's name, and of a prefix. */
  claimCharactersMax: 512,
  /** Characters of an assertion's subject. */
  subjectCharactersMax: 1_024,
  /** Characters of the name by which a certificate is known, such as a SPIFFE ID. SPIFFE allows 2,048 bytes. */
  certificateFieldCharactersMax: 2_048,
  /** Networks that one client may call from. Every request is compared with each of them. */
  networksPerClientMax: 50,
  /** Longest lifetime of a token in seconds. A token cannot be revoked, so it must be short-lived. */
  tokenLifetimeSecondsMax: 86_400,
  /** Shortest lifetime of a token in seconds. */
  tokenLifetimeSecondsMin: 1,
  /** Bytes of one file for the seed command. */
  seedFileBytesMax: 64 * 1024 * 1024,

  // ── Authentication ───────────────────────────────────────────────────────────────────────────────
  /**
   * Secrets that may wait for argon2: those that are registered and have no tag yet. At 26 ms each and one at a time
   * the last of them waits a second.
   */
  argon2QueueMax: 40,
  /**
   * Milliseconds that a secret whose id is not in memory waits for others, to share one read of the registry. All of
   * them are answered together, so the time of an answer does not show what is registered.
   */
  lookUpMilliseconds: 2,
  /** Secret ids in one such read. It takes about 2 ms. */
  lookUpsPerReadMax: 500,
  /** Seconds that a verified secret is remembered. A new version of the registry makes the service forget it sooner. */
  verifiedSecretSeconds: 900,
  /** Remembered secrets. Each takes about 200 bytes. */
  verifiedSecretsMax: 100_000,
  /** Callers that are stored for one secret. A deployment rarely has more, and 20 are enough to find it. */
  callersPerSecretMax: 20,
  /** Callers of all secrets that one process notes until they are written. Each takes about 300 bytes. */
  callersNotedMax: 50_000,
  /** Characters kept of a caller's user agent: the name and the version of a library come first. */
  callerUserAgentCharactersMax: 128,
  /** Days after which a caller that did not use the secret again is forgotten. */
  callerKeptDays: 30,
  /** Milliseconds between two checks for secrets that are about to end. */
  secretLookMilliseconds: 30_000,
  /** Seconds before its end at which a secret is first warned about: 7 days. It is a third of its life if that is less. */
  secretWarningSeconds: 7 * 86_400,
  /** Counters for the failures of all clients. As many again count the failures of all addresses. */
  failureCountersMax: 100_000,
  /** Seconds over which failures are counted. */
  failureWindowSeconds: 60,

  /** Characters of a client's assertion. Libraries send 300 to 1,200. */
  assertionCharactersMax: 8 * 1024,
  /** Levels to which the JSON in an assertion or a DPoP proof may nest. */
  assertionDepthMax: 8,
  /** Characters of the `jti` of an assertion or a DPoP proof. */
  jtiCharactersMax: 256,
  /**
   * Seconds that an assertion may be valid for. Its identifier is kept for that long. Libraries make them for one to five
   * minutes, and some for an hour unless they are told.
   */
  assertionLifetimeSecondsMax: 300,
  /** Seconds that `iat` and `nbf` of an assertion may be in the future: the clock of its maker may be ahead. */
  assertionLeewaySeconds: 30,
  /** Seconds since `iat` that a rule may accept of an assertion from another issuer. */
  assertionAgeSecondsMax: 86_400,

  // ── Keys of others ───────────────────────────────────────────────────────────────────────────────
  /** Bytes of a document that is fetched for keys. A hundred RSA keys take 60 KiB. */
  fetchedBytesMax: 256 * 1024,
  /** Milliseconds until such a document must have arrived, with the look-up of the name and the TLS handshake. */
  fetchMilliseconds: 5_000,
  /** Documents that one process fetches at the same time; as many again of clients about themselves. */
  fetchesAtOnceMax: 20,
  /** Milliseconds that a request waits for keys. Then it gets 503, and the fetch goes on. */
  keysWaitMilliseconds: 3_000,
  /**
   * Requests that may wait for keys at the same time. Further requests are answered as if the keys could not be
   * fetched, because anybody who knows the name of a slow issuer can make requests wait. Waiting requests do not count
   * as under way.
   */
  keysWaitingMax: 1_000,
  /** Seconds between two fetches of the same keys. Unknown key ids cause no more of them. */
  keysCooldownSeconds: 30,
  /** The same while there are no keys yet. */
  keysRetrySeconds: 5,
  /** Seconds after which keys are fetched again at the earliest, whatever the answer allows. */
  keysFreshSecondsMin: 60,
  /** Seconds after which keys are fetched again at the latest. */
  keysFreshSecondsMax: 3_600,
  /** Seconds that the last good keys count while no new ones can be fetched. */
  keysKeptSecondsMax: 86_400,
  /** Sets of keys that one process remembers. */
  keySetsMax: 10_000,
  /** Bytes of a document that a client publishes about itself. The draft recommends this; with ten EC keys it has 3 KB. */
  clientMetadataBytesMax: 5 * 1024,
  /** Bytes of the key set that such a document names. Ten of the largest RSA keys have 10 KB. */
  clientMetadataKeysBytesMax: 16 * 1024,
  /** Requests that may wait for such documents at the same time, beside those that wait for keys. */
  clientMetadataWaitingMax: 200,
  /** Such documents that one process remembers, with their keys; and as many addresses without a usable document. */
  clientMetadataDocumentsMax: 1_000,
  /**
   * Addresses of such documents that are new to a process and fetched in a minute, for each trusted prefix. Anybody can
   * invent such addresses. After a start, a thousand agents are known within two minutes.
   */
  clientMetadataUnseenPerMinuteMax: 600,

  /** Certificates that a caller may send: its own and those between it and the CA. Handshakes allow 100 KB of them. */
  certificatesPresentedMax: 8,
  /** Characters of a header with a certificate, from a proxy. All headers together may have 16 KiB. */
  certificateHeaderCharactersMax: 12 * 1024,
  /** Bytes of one certificate. With RSA keys they have up to 2,000. */
  certificateBytesMax: 8 * 1024,
  /** Chains from a certificate to a CA that are tried. One is usual, and two while a CA is replaced. */
  certificatePathsMax: 8,
  /**
   * Certificates that are checked for these chains. Certificates with the same name could make a very large number of
   * chains.
   */
  certificateStepsMax: 200,
  /** Certificates in the bundle of CAs for clients. */
  trustedCertificatesMax: 100,
  /**
   * Characters of the file with revocation lists. An entry takes about 40, so there is room for 100,000. Reading the
   * largest takes a third of a second. During this time the process does nothing else.
   */
  revocationListCharactersMax: 4 * 1024 * 1024,
  /** Judged certificates that a process remembers. Each takes about 1 KB. */
  judgedCertificatesMax: 10_000,
  /**
   * Bits of the RSA key of a client's certificate, or of a CA for clients. RFC 8705 §7.3 leaves this to the service.
   */
  certificateRsaBitsMin: 2_048,
  /** The same at most. */
  certificateRsaBitsMax: 8_192,
  /** Milliseconds between two looks at the end of the service's own certificate. One that lives an hour is told in time. */
  certificateLookMilliseconds: 60_000,
  /**
   * Milliseconds between two checks whether a file with a certificate, a key, a CA or a revocation list has changed.
   */
  tlsFileCheckMilliseconds: 1_000,
  /** Characters of a DPoP proof. Those with an EC key have 500, and those with the largest RSA key 2,200. */
  dpopProofCharactersMax: 4 * 1024,
  /**
   * Seconds that a DPoP proof may be old. It is made for one request, a moment ago. Its identifier is kept for that long,
   * and a caller whose clock is behind by more gets no tokens.
   */
  dpopProofAgeSecondsMax: 60,
  /** Seconds that `iat` of a DPoP proof may be in the future: the clock of its maker may be ahead. */
  dpopProofLeewaySeconds: 30,
  /**
   * Seconds that a nonce for DPoP proofs is valid. A caller that keeps requesting tokens gets a fresh one with every
   * token.
   */
  dpopNonceSeconds: 300,
  /** Keys of DPoP proofs that a process remembers. Each takes about 2 KB. Importing one costs as much as verifying. */
  dpopKeysMax: 5_000,

  // ── Decision and commit ──────────────────────────────────────────────────────────────────────────
  /** How often one request is decided again because the registry changed in the meantime. */
  decisionsPerRequestMax: 10,
  /** Records in one group commit. In a larger batch, each record saves less of a commit than the batch adds latency. */
  recordsPerCommitMax: 256,
  /** Requests of one process that may wait for a commit. More are refused with 503. */
  commitQueueMax: 2_000,
  /** Used identifiers that a process remembers, so that replays of one of them delay no commit. Each takes about 200 bytes. */
  spentIdentifiersMax: 10_000,
  /**
   * Seconds that a used identifier is kept after it has expired, and half of the clock skew of the settings more: clocks of
   * replicas may differ.
   */
  spentIdentifierKeptSeconds: 120,
  /** Milliseconds between two deletions of identifiers that have expired. */
  spentIdentifierDeletionMilliseconds: 5_000,
  /** Identifiers that one statement deletes. It takes about 20 ms. */
  spentIdentifiersPerDeletionMax: 5_000,
  /** Milliseconds that a request waits for its commit before it gets 503, in the queue and for the database together. */
  commitTimeoutMilliseconds: 900,
  /** Milliseconds until a connection to the database must be open. */
  databaseConnectTimeoutMilliseconds: 800,
  /** Milliseconds until an ordinary read of the registry or keys must be answered. */
  databaseReadTimeoutMilliseconds: 900,
  /** Milliseconds until any other statement of the service must be answered. */
  statementMillisecondsMax: 5_000,
  /** Signatures made at once before the event loop does other work. 16 take about half a millisecond. */
  signaturesPerTurnMax: 16,
  /** Milliseconds between two checks of the registry's version in a process without traffic. */
  registryPollMilliseconds: 1_000,
  /** Milliseconds after which the last check is too old. There is one check a second, and it may take almost a second. */
  registryLookOldMilliseconds: 2_000,
  /** Clients that one query loads when many are missing from memory at once. */
  registryClientsPerLoadMax: 500,
  /**
   * Client identifiers that are remembered as unknown. A client disappears between two reads only if its row is deleted
   * by hand.
   */
  registryUnknownClientsMax: 1_000,
  /** Resources held in memory. */
  registryResourcesMax: 10_000,
  /** Changes applied one by one. If there are more, the whole working set is dropped and read again on demand. */
  registryChangesPerRefreshMax: 10_000,

  /** Seconds between two checks whether a key is due. It is a two-hundredth of the key lifetime if that is less. */
  rotationCheckSecondsMax: 60,

  /** Verifiers remembered. A stranger can invent names, so the names that came back over the longest time are kept. */
  verifiersNotedMax: 10_000,
  /** Verifiers remembered of one address. */
  verifiersPerAddressMax: 1_000,
  /** Names of verifiers that are new to this process, in ten seconds. */
  verifiersNewMax: 1_000,
  /** The same from one address. */
  verifiersNewPerAddressMax: 100,
  /** Characters of a verifier's name. */
  verifierNameCharactersMax: 128,

  // ── The ledger ───────────────────────────────────────────────────────────────────────────────────
  /** Characters kept of a field that a caller chose. Of a longer field, the record also has the length and a hash. */
  recordFieldCharactersMax: 256,
  /** Characters kept of a record's scopes and audience. */
  recordLongFieldCharactersMax: 1_024,
  /**
   * Refusals that get a record of their own, per second and process. More are counted, and each group of them becomes
   * one record a second (see ledger/refusals.ts). Refusals of credentials that were right have as many for themselves.
   */
  refusalRecordsPerSecondMax: 200,
  /**
   * Groups (reason and address) in which refusals above that limit are counted. The rest share one group. Refusals of
   * right credentials have as many groups of their own, which also have a client and a credential.
   */
  refusalGroupsMax: 100,

  // ── Processes on one database ────────────────────────────────────────────────────────────────────
  /** Milliseconds between two checks of the settings of other processes on the same database. */
  settingsCheckMilliseconds: 5_000,
  /** Seconds after which a process that was not seen counts as ended. It may have missed some checks. */
  processSeenSeconds: 30,

  // ── Workers ──────────────────────────────────────────────────────────────────────────────────────
  /** Worker processes under one primary. Each has a working set and six connections to the database. */
  workersMax: 64,
  /** Milliseconds until a worker that ended is replaced. Each time it soon ends again, this doubles. */
  workerRestartMilliseconds: 1_000,
  /** Milliseconds to which this can grow. If a worker ran for longer than this, the delay starts again at its minimum. */
  workerRestartMillisecondsMax: 30_000,
  /** Milliseconds until a worker that has not ended is killed, counted from the end of the shutdown grace. */
  workerEndMilliseconds: 5_000,

  // ── Shutting down ────────────────────────────────────────────────────────────────────────────────
  /** Milliseconds from SIGTERM until the requests under way must be answered. */
  shutdownGraceMilliseconds: 10_000,
} as const
