import pg from 'pg'
import type { DatabaseAddress } from './address.ts'
import type { DatabaseHosts } from './hosts.ts'
import type { Settings } from './pooled.ts'
import { connectionConfig, startParameters, startSession } from './session.ts'

export interface DatabaseClientConfig extends pg.ClientConfig {
  readonly hosts: DatabaseHosts
}

/** The parts of pg's client that its types describe as fixed, or not at all. */
interface Target {
  host: string
  port: number
  user: string | undefined
  database: string | undefined
  password: string | undefined
  ssl: unknown
  connectionParameters: object
  connection: { ssl: unknown }
}

// biome-ignore lint/suspicious/noConfusingVoidType: pg declares it so.
type Connected<Client> = Client & void

/**
 * A connection of pg that chooses its host when it connects. All connections to the database are of this class.
 */
export class DatabaseClient extends pg.Client {
  readonly #hosts: DatabaseHosts

  constructor({ hosts, ...config }: DatabaseClientConfig) {
    super({ ...connectionConfig(hosts.first), ...config })
    this.#hosts = hosts
  }

  /** Called by the driver. Its types do not describe it. */
  getStartupConf(): Record<string, string> {
    const parent = pg.Client.prototype as unknown as { getStartupConf(): Record<string, string> }
    // PGREPLICATION would make it a connection that takes no statements.
    const { replication: _, ...conf } = parent.getStartupConf.call(this)
    return { ...conf, ...startParameters }
  }

  override connect(): Promise<Connected<this>>
  override connect(callback: (error: Error) => void): void
  override connect(callback?: (error: Error) => void): Promise<Connected<this>> | undefined {
    if (callback === undefined) {
      return new Promise((resolve, reject) => {
        void this.connect((error: Error) => (error ? reject(error) : resolve(this as never)))
      })
    }
    if (this.#hosts.isFixed) {
      super.connect(callback)
      return
    }
    this.#hosts.choose().then((address) => {
      this.#aim(address)
      super.connect(callback)
    }, callback)
    return
  }

  /**
   * Sets what every statement of this connection finds, whatever the defaults are (session.ts).
   * @returns whether a pooler stands between this process and the database.
   */
  async start(settings: Settings, queryMillisecondsMax?: number): Promise<boolean> {
    return await startSession(this, settings, queryMillisecondsMax)
  }

  /** Takes over where a client of this address would connect to, and as whom. */
  #aim(address: DatabaseAddress): void {
    const { host, port, user, database, password, ssl } = new pg.Client(
      connectionConfig(address),
    ) as unknown as Target
    const own = this as unknown as Target
    Object.assign(own, { host, port, user, database, password, ssl })
    Object.assign(own.connectionParameters, { host, port, user, database, password, ssl })
    own.connection.ssl = ssl
  }
}
