import { isIP } from 'node:net'

/**
 * Whether Kubernetes or a link of Docker set the variable. For a Service "mintmark" it gives every container of the namespace
 * MINTMARK_SERVICE_HOST, MINTMARK_PORT=tcp://10.0.0.7:8080 and more. A Service "mintmark-db" gives
 * MINTMARK_DB_SERVICE_HOST. A container that Docker links as "mintmark-db" gives the same ports, and also
 * MINTMARK_DB_NAME=/web/mintmark-db and the environment of that container as MINTMARK_DB_ENV_…. The value is compared too,
 * so MINTMARK_PORT=9000 is still refused.
 */
export function isServiceLink(name: string, value: string): boolean {
  return serviceLinks.some(([names, values]) => names.test(name) && values(value))
}

const isUrlOfPort = (text: string): boolean => /^(?:tcp|udp|sctp):\/\/\S+:\d{1,5}$/.test(text)
const isPort = (text: string): boolean => /^\d{1,5}$/.test(text)
const isTransport = (text: string): boolean => /^(?:tcp|udp|sctp)$/.test(text)
const isLinkedName = (text: string): boolean => /^\/[\w.-]+\/[\w.-]+$/.test(text)
const isAddress = (text: string): boolean => isIP(text) !== 0

const serviceLinks: readonly (readonly [names: RegExp, values: (text: string) => boolean])[] = [
  [/_SERVICE_HOST$/, isAddress],
  [/_SERVICE_PORT(?:_[A-Z0-9_]+)?$/, isPort],
  [/_PORT$/, isUrlOfPort],
  [/_PORT_\d{1,5}_(?:TCP|UDP|SCTP)$/, isUrlOfPort],
  [/_PORT_\d{1,5}_(?:TCP|UDP|SCTP)_PROTO$/, isTransport],
  [/_PORT_\d{1,5}_(?:TCP|UDP|SCTP)_PORT$/, isPort],
  [/_PORT_\d{1,5}_(?:TCP|UDP|SCTP)_ADDR$/, isAddress],
  [/_NAME$/, isLinkedName],
  // Whatever the other container has in its environment.
  [/_ENV_/, () => true],
]
