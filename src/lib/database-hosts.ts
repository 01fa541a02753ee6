/**
 * The hosts of a PostgreSQL URL that names several, as libpq has them: in the authority, or in the parameters `host`
 * and `port`. The driver knows only one host.
 */
interface SplitUrl {
  /** One URL for each host, in the order of the URL. */
  readonly urls: readonly string[]
  /** Which of the hosts may be used: `target_session_attrs`. */
  readonly attributes: string
}

/**
 * @returns undefined for a text that is no such URL, that says one of these parameters twice, or that has neither one
 *   port nor one for each host.
 */
export function splitHosts(url: string): SplitUrl | undefined {
  const parts = /^(postgres(?:ql)?:\/\/)((?:[^/?#]*@)?)([^/?#@]*)([^?#]*)(?:\?([^#]*))?$/.exec(url)
  if (parts === null) return undefined
  const [, scheme = '', user = '', authority = '', path = '', query = ''] = parts
  const parameters = query.split('&').filter((each) => each !== '')
  const names = ['host', 'port', 'target_session_attrs']
  if (names.some((name) => parameters.filter((each) => each.startsWith(`${name}=`)).length > 1))
    return undefined
  const value = (name: string) => new URLSearchParams(query).get(name) ?? undefined
  const without = (...names: readonly string[]): string[] =>
    parameters.filter((each) => !names.some((name) => each.startsWith(`${name}=`)))
  const join = (host: string, list: readonly string[]): string =>
    `${scheme}${user}${host}${path}${list.length === 0 ? '' : `?${list.join('&')}`}`
  const attributes = value('target_session_attrs') ?? 'any'
  const hosts = value('host')?.split(',') ?? []
  const ports = value('port')?.split(',') ?? []
  if (hosts.length < 2) {
    return { urls: authority.split(',').map((host) => join(host, parameters)), attributes }
  }
  if (ports.length > 1 && ports.length !== hosts.length) return undefined
  const list = without('host', 'port')
  const urls = hosts.map((host, index) => {
    const port = ports[index] ?? ports[0]
    const place = [`host=${encodeURIComponent(host)}`, ...(port === undefined ? [] : [`port=${port}`])]
    return join(authority, [...list, ...place])
  })
  return { urls, attributes }
}
