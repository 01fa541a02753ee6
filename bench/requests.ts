/** A request as the load generators send it, again and again. */
export interface PreparedRequest {
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** Without host and content-length, which follow from the rest. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Credentials {
  readonly clientId: string
  readonly secret: string
}

/** `POST /token` with client_secret_basic: the smallest form there is, the same for the service and its peers. */
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

/** The bytes on the wire, so that every generator sends the same. Everything in them is ASCII. */
export function bytesOf(request: PreparedRequest, origin: string): string {
  const headers = { host: new URL(origin).host, ...request.headers }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const length = request.method === 'POST' ? `content-length: ${request.body.length}\r\n` : ''
  return `${request.method} ${request.path} HTTP/1.1\r\n${lines.join('')}${length}\r\n${request.body}`
}
