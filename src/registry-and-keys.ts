import { hostname } from 'node:os'
import { Dpop } from './authentication/dpop.ts'
import { DpopNonces, type DpopNoncesOptions } from './authentication/dpop-nonces.ts'
import { openSecretTagWriter } from './authentication/secret-tag-store.ts'
import { SecretTags } from './authentication/secret-tags.ts'
import type { Config } from './config.ts'
import type { Database } from './database/open.ts'
import type { DerivedKeysOptions } from './keys/derived-keys.ts'
import { clockDisagrees, type RotationContext } from './keys/key-change.ts'
import type { KeyEncryptionKeySource, KeyEncryptionKeys } from './keys/key-encryption-key.ts'
import { Keyring } from './keys/keyring.ts'
import { newestSealedWith } from './keys/seal.ts'
import { KeyUpkeep } from './keys/upkeep.ts'
import type { Verifiers } from './keys/verifier-store.ts'
import type { Clock } from './lib/clock.ts'
import { clockToleranceSeconds, createClockGuard } from './lib/clock-guard.ts'
import type { Opened } from './lib/opened.ts'
import { Registry } from './registry/registry.ts'
import { sealReads } from './registry/seal-store.ts'
import { openSealedRegistry } from './registry/sealed-registry.ts'
import type { DatabaseFaultLog } from './telemetry/database-faults.ts'
import {
  clockChanged,
  keysUnvouched,
  keyUnopened,
  keyUpkeepEvents,
  readersReplaced,
  registryUnsealed,
  tagSpoiled,
} from './telemetry/events.ts'
import type { Log } from './telemetry/log.ts'

/** What the service keeps in memory: who is registered, and the keys. */
export interface MemoryOptions {
  readonly config: Config
  /** The current key-encryption key and, during a rewrap, the previous one. */
  readonly keyEncryptionKeys: KeyEncryptionKeys
  /**
   * Called whenever a signing key is created or opened, if the key-encryption keys can be replaced while the
   * service runs.
   */
  readonly rereadKeyEncryptionKeys?: KeyEncryptionKeySource
  readonly log: Log
}

/** Loads the registry and the keys into memory, and starts the work that keeps them current. */
export async function openRegistryAndKeys(
  options: MemoryOptions,
  database: Database,
  clock: Clock,
  { onFault, onRecovered }: DatabaseFaultLog,
  opened: Opened,
  verifiers: Verifiers,
) {
  const { log } = options
  const { schedule, signingAlgorithms, registryClientsMax } = options.config
  const keyEncryptionKeys = options.rereadKeyEncryptionKeys ?? (async () => options.keyEncryptionKeys)
  const keyring = new Keyring({
    database: database.statements,
    keyEncryptionKeys,
    schedule,
    now: clock.nowSeconds,
    onUnopened: (error) => keyUnopened(log, error),
    onUnvouched: (problems) => keysUnvouched(log, problems),
  })
  const derived = { keyEncryptionKeys, sealingKeyId: () => newestSealedWith(keyring.keys), onFault }
  const { tagWriter, secretTags } = openSecretTags(database, derived, log)
  opened.onClose(() => tagWriter.close())
  const dpop = openDpop(options.config, { ...derived, now: clock.nowSeconds })
  // Due keys are created by the service itself, so the record does not name the account that it runs under.
  const actor = { by: 'mintmark', host: hostname() }
  const rotation: RotationContext = { database, clock, actor, schedule, keyEncryptionKeys }
  let clockOffSeconds = 0
  const clockGuard = createClockGuard({
    clock,
    clockSkewSeconds: schedule.clockSkewSeconds,
    onChange(reliable, offSeconds) {
      clockOffSeconds = offSeconds
      clockChanged(log, reliable, offSeconds)
    },
  })
  let upkeep: KeyUpkeep | undefined
  const seals = await openSealedRegistry(options.config.sealedRegistry, {
    reads: sealReads(database),
    keyEncryptionKeys,
    onFound: (problems) => registryUnsealed(log, problems),
    onFault,
  })
  const registry = new Registry({
    pool: database.readPool,
    seals: seals.guard,
    monotonicMilliseconds: clock.monotonicMilliseconds,
    clientsMax: registryClientsMax,
    wait: (milliseconds, then) => setTimeout(then, milliseconds),
    onMisled(reason) {
      readersReplaced(log, reason)
      database.renewReaders()
    },
    async onKeysChanged(version) {
      await keyring.load(version)
      // The keys may be sealed with another key-encryption key now. Nobody waits for it.
      void secretTags.follow()
      void dpop.nonces?.follow()
      upkeep?.checkSoon()
    },
    onDatabaseTime: clockGuard.check,
    onFault,
    onRecovered,
  })
  opened.onClose(() => registry.close())
  // Its version is read before the keys: a change in between has a higher one, so it is not missed.
  await registry.open()
  if (!clockGuard.reliable) {
    throw clockDisagrees(clockOffSeconds, clockToleranceSeconds(schedule.clockSkewSeconds))
  }
  await keyring.load()
  const events = keyUpkeepEvents(log)
  const configured = signingAlgorithms
  upkeep = new KeyUpkeep({
    rotation,
    keyring,
    configured,
    clockGuard,
    noteFetches: verifiers.writeNow,
    events,
  })
  await upkeep.open()
  opened.onClose(() => upkeep?.close())
  await secretTags.load()
  await dpop.nonces?.load()
  const watched = seals.watch(registry)
  opened.onClose(() => watched.close())
  return { clockGuard, registry, seals: watched, keyring, upkeep, secretTags, dpop }
}

function openSecretTags(database: Database, options: DerivedKeysOptions, log: Log) {
  const tagWriter = openSecretTagWriter(database.statements, options.onFault)
  const secretTags = new SecretTags({
    ...options,
    keep: tagWriter.note,
    onSpoiled: (secretId) => tagSpoiled(log, secretId),
  })
  return { tagWriter, secretTags }
}

/** What checks DPoP proofs. Its nonces are there if they are asked for. */
function openDpop({ issuer, mtls, dpopNonces }: Config, options: DpopNoncesOptions): Dpop {
  const uris = [issuer, ...(mtls === undefined ? [] : [mtls.url])].map((url) => `${url}/token`)
  return new Dpop(uris, dpopNonces ? new DpopNonces(options) : undefined)
}
