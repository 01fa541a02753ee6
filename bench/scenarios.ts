import type { Scenario } from './scenario.ts'
import { assertions } from './scenarios/assertions.ts'
import { clients } from './scenarios/clients.ts'
import { cold } from './scenarios/cold.ts'
import { connections } from './scenarios/connections.ts'
import { deploy } from './scenarios/deploy.ts'
import { dpop } from './scenarios/dpop.ts'
import { federation } from './scenarios/federation.ts'
import { flood } from './scenarios/flood.ts'
import { guesses } from './scenarios/guesses.ts'
import { jwks } from './scenarios/jwks.ts'
import { latency } from './scenarios/latency.ts'
import { mtls } from './scenarios/mtls.ts'
import { registry } from './scenarios/registry.ts'
import { start } from './scenarios/start.ts'
import { tls } from './scenarios/tls.ts'
import { verify } from './scenarios/verify.ts'
import { warm } from './scenarios/warm.ts'
import { workers } from './scenarios/workers.ts'

/** All scenarios, in the order of the result. */
export const scenarios: readonly Scenario[] = [
  warm,
  assertions,
  dpop,
  federation,
  latency,
  flood,
  guesses,
  connections,
  tls,
  mtls,
  clients,
  cold,
  deploy,
  registry,
  workers,
  start,
  jwks,
  verify,
]
