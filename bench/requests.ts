/** A request that a load generator sends repeatedly. */
export interface PreparedRequest {
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** Without `host` and `content-length`: `bytesOf` adds them. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Credentials {
  readonly clientId: string
  readonly secret: string
  /** A public key that the client uses instead. */
  readonly jwk?: Readonly<Record<string, unknown>>
}

/**
 * `POST /token` with client_secret_basic and the smallest form. The service and its peers get the same
 * request.
 */
export function tokenRequest(client: Credentials, form = 'grant_type=client_credentials'): PreparedRequest {
  return {
    method: 'POST',
    path: '/token',
    headers: {
      authorization: `Basic ${Buffer.from(`${client.clientId}:${client.secret}`).toString('base64')}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: form,
  }
}

export function getRequest(path: string, headers: Readonly<Record<string, string>> = {}): PreparedRequest {
  return { method: 'GET', path, headers, body: '' }
}

/** The bytes of a request in ASCII, so that every load generator sends the same bytes. */
export function bytesOf(request: PreparedRequest, origin: string): string {
  const headers = { host: new URL(origin).host, ...request.headers }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const length = request.method === 'POST' ? `content-length: ${request.body.length}\r\n` : ''
  return `${request.method} ${request.path} HTTP/1.1\r\n${lines.join('')}${length}\r\n${request.body}`
}
