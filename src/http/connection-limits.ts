import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { Clock } from '../lib/clock.ts'
import { networkContains, parseNetwork } from '../lib/network.ts'
import { limits } from '../limits.ts'
import { connectionsClosed, openFilesFew } from '../telemetry/events.ts'
import type { Log } from '../telemetry/log.ts'
import { Tally } from '../telemetry/tally.ts'
import { Connections } from './connections.ts'
import { isHealthCheck } from './health.ts'
import { HeldRefusals } from './held-refusals.ts'
import { openFilesMax } from './open-files.ts'
import { proxySocketAddress } from './proxy-socket.ts'
import { UnreadConnections } from './unread-connections.ts'

export interface ConnectionLimits {
  readonly connections: number
  readonly connectionsPerAddress: number
  /** Requests with an unfinished body. */
  readonly bodies: number
  readonly bodiesPerAddress: number
  /** Requests of one address that are answered at the same time. More wait. */
  readonly requestsPerAddress: number
  /** Pipelined requests that have been read and wait. */
  readonly pipelined: number
  readonly pipelinedPerAddress: number
}

export interface BoundedBy {
  /** The number of processes that share the limits of an address. */
  readonly workers: number
  readonly trustedProxies: readonly string[]
}

/** Bounds what strangers can open on the server, and logs what was closed for that. @returns whose turn it is, and what is held back. */
export function boundConnections(
  app: FastifyInstance,
  { workers, trustedProxies }: BoundedBy,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Pick<Connections, 'turnOf' | 'holdRefusal'> {
  const openFiles = openFilesMax()
  const connectionsMax = connectionsThatFit(openFiles)
  if (connectionsMax < limits.connectionsMax)
    openFilesFew(log, openFiles, connectionsMax, limits.connectionsMax + limits.openFilesReserved)
  const proxies = trustedProxies.map(parseNetwork)
  const tally = new Tally({
    clock,
    report: (counts, address) => connectionsClosed(log, counts, address, connections.size),
  })
  const unread = new UnreadConnections(limits.unreadConnectionMilliseconds)
  const heldRefusals = new HeldRefusals({
    atOncePerAddress: Math.ceil(limits.refusalsAtOncePerAddressMax / workers),
    monotonicMilliseconds: () => clock.monotonicMilliseconds(),
    wait: (milliseconds) => sleep(milliseconds),
  })
  const connections = new Connections({
    limits: limitsOf(connectionsMax, workers),
    unread,
    heldRefusals,
    isTrusted: (address) => address === proxySocketAddress || networkContains(proxies, address),
    isUrgent: isHealthCheck,
    onClosed: (closed, address) => tally.count(closed, address),
  })
  for (const server of app.listeners) connections.watch(server)
  let timer: NodeJS.Timeout | undefined
  app.addHook('preClose', (done) => {
    unread.close()
    // Node waits for connections that have never sent a request. One that was opened a moment ago may still send it.
    timer = setTimeout(() => connections.closeIdle(), limits.silentConnectionMilliseconds).unref()
    done()
  })
  app.addHook('onClose', async () => {
    clearTimeout(timer)
    tally.flush()
  })
  return connections
}

/** How many connections a process can hold that may open this many files. */
export function connectionsThatFit(openFiles: number): number {
  return Math.min(limits.connectionsMax, Math.max(openFiles - limits.openFilesReserved, 1))
}

/**
 * Connections go to the workers in turn, so an address can use all of them. Each worker has its share of what an
 * address may have. What a process may have is the memory and the files of that process.
 */
function limitsOf(connectionsMax: number, workers: number): ConnectionLimits {
  const share = (ofAddress: number): number => Math.ceil(ofAddress / workers)
  return {
    connections: connectionsMax,
    connectionsPerAddress: share(limits.connectionsPerAddressMax),
    bodies: limits.unfinishedBodiesMax,
    bodiesPerAddress: share(limits.unfinishedBodiesPerAddressMax),
    requestsPerAddress: share(limits.requestsPerAddressMax),
    pipelined: limits.pipelinedRequestsMax,
    pipelinedPerAddress: share(limits.pipelinedRequestsPerAddressMax),
  }
}
