import pg from 'pg'
import type { DatabaseAddress } from './address.ts'
import type { Settings } from './pooled.ts'
import { startSession } from './session.ts'

export interface DatabaseClientConfig extends pg.ClientConfig {
  readonly address: DatabaseAddress
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
  readonly #address: DatabaseAddress

  constructor({ address, ...config }: DatabaseClientConfig) {
    super({ ...config, connectionString: address.url })
    this.#address = address
  }

  override connect(): Promise<Connected<this>>
  override connect(callback: (error: Error) => void): void
  override connect(callback?: (error: Error) => void): Promise<Connected<this>> | undefined {
    if (callback === undefined) {
      return new Promise((resolve, reject) => {
        void this.connect((error: Error) => (error ? reject(error) : resolve(this as never)))
      })
    }
    if (this.#address.isFixed) {
      super.connect(callback)
      return
    }
    this.#address.choose().then((url) => {
      this.#aim(url)
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

  /** Takes over where a client of this URL would connect to, and as whom. */
  #aim(url: string): void {
    const { host, port, user, database, password, ssl } = new pg.Client(url) as unknown as Target
    const own = this as unknown as Target
    Object.assign(own, { host, port, user, database, password, ssl })
    Object.assign(own.connectionParameters, { host, port, user, database, password, ssl })
    own.connection.ssl = ssl
  }
}
