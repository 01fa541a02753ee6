/**
 * Every bound of the service, with its unit and its reason. A bound that operators should choose for
 * themselves is an environment variable instead (see config.ts); what stands here is part of the design.
 */
export const limits = {
  // ── The request ──────────────────────────────────────────────────────────────────────────────────
  /** Bytes of a token request's body. An honest form is under 1 KiB; a client assertion may take 8 KiB. */
  bodyBytesMax: 64 * 1024,
  /** Bytes of all request headers together. Node answers 431 past it. */
  headerBytesMax: 16 * 1024,
  /** Parameters in one form. Each costs a map entry before anybody is authenticated. */
  formParametersMax: 64,
  /** Characters of one form parameter after decoding. */
  parameterCharactersMax: 16 * 1024,
  /** Scope tokens in one request. A record holds them all, so the number is what a record can bear. */
  scopesPerRequestMax: 100,
  /** Seconds until a request's headers must be complete, from its first byte. */
  headersTimeoutSeconds: 10,
  /** Seconds until a whole request must have arrived. A form of a kilobyte needs milliseconds. */
  requestTimeoutSeconds: 15,
  /**
   * Token requests that one process has under way; more are refused with 503 before their body is read. At 10,000
   * tokens a second these are a fifth of a second of work: past it everybody would wait, and none would be faster.
   */
  requestsUnderWayMax: 2_000,
  /** Milliseconds between two sweeps for connections past those two limits. */
  connectionCheckIntervalMilliseconds: 1_000,
  /** Seconds an idle connection stays open. A TLS handshake costs ten tokens, so callers keep theirs. */
  keepAliveTimeoutSeconds: 75,
  /** Open connections of one process. At about 20 KiB each this is 200 MiB at the very worst. */
  connectionsMax: 10_000,

  // ── What is registered ───────────────────────────────────────────────────────────────────────────
  /** Characters of a client's id. It stands in every token of the client, twice. */
  clientIdCharactersMax: 128,
  /** Characters of a name for people: one line of a list. */
  nameCharactersMax: 200,
  /** Characters of a resource's URI. It stands in every token for the resource. */
  audienceCharactersMax: 512,
  /** Characters of one scope token (RFC 6749 §3.3 sets none). */
  scopeCharactersMax: 128,
  /** Scopes of one resource. A token that names no scope gets all that its client has there. */
  scopesPerResourceMax: 100,
  /** Resources one client has access to. All of them are in memory while the client is. */
  accessPerClientMax: 200,
  /** Valid secrets of one client. Two are enough to rotate; the rest is room for several deployments. */
  secretsPerClientMax: 10,
  /** Networks one client may call from. Each is compared at every request. */
  networksPerClientMax: 50,
  /** Seconds a token may live at most. Longer is no longer short-lived: a token cannot be called back. */
  tokenLifetimeSecondsMax: 86_400,
  /** Seconds a token may live at least. */
  tokenLifetimeSecondsMin: 1,
  /** Bytes of one file given to the seed command. */
  seedFileBytesMax: 64 * 1024 * 1024,

  // ── Authentication ───────────────────────────────────────────────────────────────────────────────
  /**
   * Secrets that may wait for argon2: those that are registered and have no tag yet. At 26 ms each and one at a time
   * the last of them waits a second.
   */
  argon2QueueMax: 40,
  /**
   * Milliseconds that a secret whose id is not in memory waits for others, to share one read of the registry. All of
   * them are answered together, so the time of one says nothing about what is registered.
   */
  lookUpMilliseconds: 2,
  /** Secret ids in one such read. It takes about 2 ms. */
  lookUpsPerReadMax: 500,
  /** Seconds a verified secret is remembered. The registry's version makes it forget sooner. */
  verifiedSecretSeconds: 900,
  /** Remembered secrets; about 200 bytes each. */
  verifiedSecretsMax: 100_000,
  /** Counters that the failures of all clients share, and as many that those of all addresses share. */
  failureCountersMax: 100_000,
  /** Seconds over which failures are counted. */
  failureWindowSeconds: 60,

  // ── Decision and commit ──────────────────────────────────────────────────────────────────────────
  /** Times one request is decided again because the registry changed under it. */
  decisionsPerRequestMax: 10,
  /** Records in one group commit. Past this a batch's latency grows faster than its share of a commit shrinks. */
  recordsPerCommitMax: 256,
  /** Requests that may wait for a commit in one process; more are refused with 503. */
  commitQueueMax: 2_000,
  /** Milliseconds a request waits for its commit, queue and database together, before it gets 503. */
  commitTimeoutMilliseconds: 900,
  /** Milliseconds until a connection to the database must stand. */
  databaseConnectTimeoutMilliseconds: 800,
  /** Milliseconds until an ordinary read of the registry or keys must be answered. */
  databaseReadTimeoutMilliseconds: 900,
  /** Milliseconds until whatever else the service asks of the database must be answered. */
  statementMillisecondsMax: 5_000,
  /** Signatures made in one go before the loop gets air; 16 take about half a millisecond. */
  signaturesPerTurnMax: 16,
  /** Milliseconds between two looks at the registry's version in a process without traffic. */
  registryPollMilliseconds: 1_000,
  /** Milliseconds after which a look is old: one every second, and one that may take almost another. */
  registryLookOldMilliseconds: 2_000,
  /** Clients fetched by one query when many are missing at once. */
  registryClientsPerLoadMax: 500,
  /** Client identifiers remembered as gone. A client vanishes between two reads only if its row is deleted by hand. */
  registryUnknownClientsMax: 1_000,
  /** Resources held in memory. */
  registryResourcesMax: 10_000,
  /** Changes applied one by one; past it the whole working set is dropped and read again on demand. */
  registryChangesPerRefreshMax: 10_000,

  /** Seconds between two looks at whether a key is due; a two-hundredth of the key lifetime where that is less. */
  rotationCheckSecondsMax: 60,

  /** Verifiers remembered: of those that a stranger can make up, the latest. */
  verifiersNotedMax: 10_000,
  /** Characters of a verifier's name. */
  verifierNameCharactersMax: 128,

  // ── The ledger ───────────────────────────────────────────────────────────────────────────────────
  /** Characters kept of a field that a stranger chose; longer ones keep their length and a hash beside. */
  recordFieldCharactersMax: 256,
  /** Characters kept of a record's scopes and audience. */
  recordLongFieldCharactersMax: 1_024,
  /**
   * Refusals of callers who proved nothing that get a record of their own, per second and process.
   * More than these are counted and written as one record a second (see ledger/refusals.ts).
   */
  refusalRecordsPerSecondMax: 200,
  /** Groups (reason and address) that refusals beyond that are counted in; the rest share one. */
  refusalGroupsMax: 100,

  // ── Workers ──────────────────────────────────────────────────────────────────────────────────────
  /** Processes that serve, under one primary. Each has a working set and six connections to the database. */
  workersMax: 64,
  /** Milliseconds until a worker that ended is replaced; each time it ends again soon, twice as many. */
  workerRestartMilliseconds: 1_000,
  /** Milliseconds that this grows to. A worker that ran for longer than that starts again with the least. */
  workerRestartMillisecondsMax: 30_000,
  /** Milliseconds, after the grace for requests under way, until a worker that has not ended is killed. */
  workerEndMilliseconds: 5_000,

  // ── Shutting down ────────────────────────────────────────────────────────────────────────────────
  /** Milliseconds from SIGTERM until requests under way must have been answered. */
  shutdownGraceMilliseconds: 10_000,
} as const
