/**
 * A seed file is either understood exactly as it was meant or refused whole, and every mistake is told with
 * its line, its column, its key and what to write instead.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parseRegistryFile } from '../../src/administration/registry-file.ts'
import { makeSecret } from '../../src/authentication/secret.ts'
import { messageOf } from '../../src/cli/terminal/sentences.ts'
import { AdministrationError } from '../../src/errors.ts'
import { limits } from '../../src/limits.ts'

const { secret } = makeSecret((size) => Buffer.alloc(size, 7))

function refusal(text: string): string {
  try {
    parseRegistryFile(text, 'x.yaml')
  } catch (error) {
    expect(error).toBeInstanceOf(AdministrationError)
    return messageOf(error)
  }
  throw new Error('the file was accepted')
}

describe('what is understood', () => {
  test('the example of the documentation, with every default', () => {
    const { resources, clients } = parseRegistryFile(
      `resources:
  - audience: https://orders.example.com
clients:
  - client_id: billing
    access:
      - audience: https://orders.example.com
        scopes: []
`,
      'x.yaml',
    )
    expect(resources).toEqual([
      {
        audience: 'https://orders.example.com',
        name: 'https://orders.example.com',
        scopes: [],
        tokenLifetimeSeconds: 300,
        signingAlgorithm: 'ES256',
        tokenTyp: 'at+jwt',
      },
    ])
    expect(clients).toEqual([
      {
        clientId: 'billing',
        name: 'billing',
        tokenEndpointAuthMethod: undefined,
        allowedNetworks: [],
        expiresAt: undefined,
        status: undefined,
        access: [{ audience: 'https://orders.example.com', scopes: [] }],
        keys: undefined,
        assertionAudience: 'issuer',
        certificateBoundTokens: false,
        dpopBoundTokens: false,
      },
    ])
  })

  test('the file that comes with the repository, whose first client is the one the first token is for', () => {
    const { clients } = parseRegistryFile(readFileSync('prisma/clients.example.yaml', 'utf8'), 'x.yaml')
    expect(clients[0]).toMatchObject({
      clientId: 'billing',
      tokenEndpointAuthMethod: undefined,
      access: [{ audience: 'https://orders.example.com', scopes: ['orders:read'] }],
    })
    expect(clients.map((client) => client.tokenEndpointAuthMethod)).toContain('client_secret_post')
  })

  test('JSON, a byte order mark, CR LF, aliases and every optional key', () => {
    expect(parseRegistryFile('{"clients": [{"client_id": "a"}]}', 'x.json').clients).toHaveLength(1)
    expect(parseRegistryFile('\ufeffclients:\r\n  - client_id: a\r\n', 'x.yaml').clients).toHaveLength(1)
    const { clients } = parseRegistryFile(
      `clients:
  - client_id: a
    status: disabled
    allowed_networks: &home [10.0.0.0/8, "::1"]
    expires_at: 2027-02-28T23:59:59+01:00
  - { client_id: b, allowed_networks: *home }
`,
      'x.yaml',
    )
    expect(clients[0]).toMatchObject({
      status: 'disabled',
      expiresAt: Date.UTC(2027, 1, 28, 22, 59, 59) / 1000,
    })
    expect(clients[1]?.allowedNetworks).toEqual(['10.0.0.0/8', '::1'])
  })
})

describe('what is refused, and where', () => {
  const client = (line: string): string => `clients:\n  - client_id: a\n    ${line}\n`
  const resource = (line: string): string => `resources:\n  - audience: urn:a\n    ${line}\n`
  const access = (line: string): string => client(`access:\n      - audience: urn:a\n        ${line}`)

  test.each<[title: string, text: string, place: string, says: string]>([
    ['an empty file', '', 'x.yaml:1:1: ', 'must be a mapping'],
    ['an empty mapping', '{}', 'x.yaml:1:1: ', 'is empty'],
    ['a list', '- a', 'x.yaml:1:1: ', 'it is a list'],
    ['an unknown key', 'client: []', 'x.yaml:1:1: client: ', 'Did you mean "clients"?'],
    ['an unknown key of a client', client('nam: x'), 'x.yaml:3:5: clients[0].nam: ', 'Did you mean "name"?'],
    [
      'an unknown key of an access',
      access('scope: [x]'),
      'x.yaml:5:9: clients[0].access[0].scope: ',
      '"scopes"',
    ],
    ['a key of another kind', client('3: 4'), 'x.yaml:3:5: clients[0].3: ', 'there is no such key'],
    ['a merge key', client('<<: {name: x}'), 'x.yaml:3:5: clients[0].<<: ', 'Merge keys'],
    ['the prototype', client('__proto__: {name: x}'), 'x.yaml:3:5: clients[0].__proto__: ', 'no such key'],
    ['a number as a name', client('name: 007'), 'x.yaml:3:11: clients[0].name: ', 'write "007" if text'],
    ['a truth value as a name', client('name: true'), 'x.yaml:3:11: clients[0].name: ', 'a truth value'],
    ['nothing as a name', client('name:'), 'clients[0].name: ', 'it is empty'],
    ['an override of the text direction', client('name: "a\\u202eb"'), 'clients[0].name: ', 'bidirectional'],
    ['a name that is too long', client(`name: ${'x'.repeat(201)}`), 'clients[0].name: ', 'at most 200'],
    [
      'an id with a space',
      'clients: [{client_id: a b}]',
      'x.yaml:1:23: clients[0].client_id: ',
      'is not a client id',
    ],
    [
      'an id with a percent sign',
      'clients: [{client_id: "a%41"}]',
      'clients[0].client_id: ',
      'is not a client id',
    ],
    ['an id with a plus', 'clients: [{client_id: a+b}]', 'clients[0].client_id: ', 'is not a client id'],
    [
      'an unknown algorithm',
      resource('signing_algorithm: ES265'),
      'x.yaml:3:24: resources[0].signing_algorithm: ',
      'Did you mean "ES256"?',
    ],
    [
      'no algorithm at all',
      resource('signing_algorithm: none'),
      'resources[0].signing_algorithm: ',
      'is not an algorithm',
    ],
    ['an id that is too long', `clients: [{client_id: ${'a'.repeat(129)}}]`, 'client_id: ', 'at most 128'],
    ['no id', 'clients: [{name: a}]', 'x.yaml:1:11: clients[0]: ', 'needs "client_id"'],
    ['a client that is text', 'clients: [a]', 'x.yaml:1:11: clients[0]: ', 'it is text'],
    ['clients that are a mapping', 'clients: {a: b}', 'x.yaml:1:10: clients: ', 'must be a list'],
    [
      'an id twice',
      'clients: [{client_id: a}, {client_id: a}]',
      'x.yaml:1:39: clients[1].client_id: ',
      'clients[0]',
    ],
    [
      'an audience twice',
      'resources: [{audience: urn:a}, {audience: urn:a}]',
      'resources[1].audience: ',
      'already',
    ],
    [
      'a method that is unknown',
      client('token_endpoint_auth_method: basic'),
      'x.yaml:3:33: ',
      'client_secret_post',
    ],
    ['a status that is none', client('status: off'), 'clients[0].status: ', 'active or disabled'],
    ['a deletion', client('status: deleted'), 'clients[0].status: ', 'clients delete'],
    [
      'a day without a time',
      client('expires_at: 2027-01-31'),
      'clients[0].expires_at: ',
      '2027-01-31T23:59:59Z',
    ],
    ['a time without a zone', client('expires_at: 2027-01-31T00:00:00'), 'expires_at: ', 'with a zone'],
    ['the 30th of February', client('expires_at: 2027-02-30T00:00:00Z'), 'expires_at: ', 'is not a date'],
    ['a network with host bits', client('allowed_networks: [10.0.0.1/8]'), 'x.yaml:3:24: ', '10.0.0.0/8'],
    [
      'a scope with a space',
      access('scopes: [a b]'),
      'x.yaml:5:18: clients[0].access[0].scopes[0]: ',
      'a space',
    ],
    ['a scope twice', access('scopes: [a, a]'), 'x.yaml:5:21: clients[0].access[0].scopes[1]: ', 'twice'],
    ['scopes as text', access('scopes: a'), 'x.yaml:5:17: clients[0].access[0].scopes: ', 'must be a list'],
    ['an access without scopes', access('# none'), 'clients[0].access[0]: ', 'needs "scopes"'],
    ['an audience with a fragment', 'resources: [{audience: "urn:a#b"}]', 'audience: ', 'fragment'],
    ['a relative audience', 'resources: [{audience: /orders}]', 'audience: ', 'neither an absolute URI'],
    ['a lifetime as text', resource('token_lifetime: "300"'), 'x.yaml:3:21: ', 'without quotes'],
    [
      'a lifetime that is no number',
      resource('token_lifetime: abc'),
      'x.yaml:3:21: ',
      'must be a number; it is the text "abc"',
    ],
    ['a lifetime past a day', resource('token_lifetime: 86401'), 'token_lifetime: ', '1 to 86400'],
    ['half a second', resource('token_lifetime: 0.5'), 'token_lifetime: ', 'whole number'],
    ['an alias of nothing', 'clients: *a', 'x.yaml:1:10: ', 'named &a'],
    ['an alias within what it names', 'clients: &a [*a]', 'x.yaml:1:14: ', '*a is within'],
    ['broken YAML', 'clients: [\n', 'x.yaml:2:1: ', 'Flow sequence'],
    ['a key twice', 'clients: []\nclients: []\n', 'x.yaml:2:1: ', 'unique'],
    ['a tag', client('name: !!js/function x'), 'x.yaml:3:11: ', 'Unresolved tag'],
    ['two documents', 'clients: []\n---\nclients: []\n', 'x.yaml:2:1: ', 'begins a second document'],
    ['spaces that are none', 'clients:\n\u00a0\u00a0- client_id: a\n    name: x\n', 'x.yaml:2:1: ', 'U+00A0'],
    ['a zero byte', 'clients: []\n\0', 'x.yaml:2:1: ', 'U+0000'],
    ['line ends of an old Mac', 'clients: []\rresources: []\r', 'x.yaml:1:12: ', 'carriage return alone'],
    ['a URL with a password', 'clients: [{client_id: "https://u:hunter2@h"}]', 'client_id: ', 'a password'],
    ['ten thousand levels', `clients: ${'['.repeat(10_000)}`, 'x.yaml:1:', 'nested too deeply'],
    [
      'a secret',
      client('client_secret: hunter2'),
      'x.yaml:3:5: clients[0].client_secret: ',
      'a secret must not be in this file',
    ],
    [
      'a secret as an id',
      `clients: [{client_id: ${secret}}]`,
      'clients[0].client_id: ',
      'a secret, a token or',
    ],
  ])('%s', (_title, text, place, says) => {
    const message = refusal(text)
    expect(message).toContain(place)
    expect(message).toContain(says)
    expect(message).not.toMatch(/hunter2|mm_/)
    expect(message).toMatch(
      /^x\.yaml has (a mistake|\d+ mistakes); nothing was applied\.\n {2}x\.yaml:\d+:\d+: /,
    )
  })

  test('mistakes come in the order of their lines', () => {
    const text = 'clients:\n  - client_id: a b\n    nme: x\n  - name: y\nresources:\n  - audience: 3\n'
    const lines = [...refusal(text).matchAll(/x\.yaml:(\d+):/g)].map(([, line]) => Number(line))
    expect(lines.length).toBeGreaterThan(2)
    expect(lines).toEqual(lines.toSorted((first, second) => first - second))
  })

  test('all mistakes at once, but no more than twenty', () => {
    const text = `clients: [${Array.from({ length: 25 }, (_, index) => `{client_id: "!${index}"}`).join(', ')}]`
    const lines = refusal(text).split('\n')
    expect(lines[0]).toBe('x.yaml has 25 mistakes; nothing was applied.')
    expect(lines).toHaveLength(22)
    expect(lines.at(-1)).toBe('  … and 5 more')
  })

  test('after a thousand mistakes nobody looks for more', () => {
    const text = `clients: [${Array.from({ length: 1_500 }, () => '{}').join(', ')}]`
    expect(refusal(text)).toContain('x.yaml has 1000 mistakes')
  })

  test('a mistake behind an alias is told where the alias stands or where the text does', () => {
    const message = refusal(
      'clients:\n  - client_id: a\n    allowed_networks: &n [x]\n  - {client_id: b, allowed_networks: *n}\n',
    )
    expect(message).toContain('x.yaml:3:27: clients[0].allowed_networks[0]: "x" is not a network')
    expect(message).toContain('clients[1].allowed_networks[0]: "x" is not a network')
  })

  test('more of anything than the limits allow', () => {
    const many = (count: number): string =>
      Array.from({ length: count }, (_, index) => `s${index}`).join(', ')
    expect(refusal(resource(`scopes: [${many(limits.scopesPerResourceMax + 1)}]`))).toContain('at most 100')
    const entries = Array.from({ length: 201 }, (_, index) => `{audience: urn:${index}, scopes: []}`).join(
      ', ',
    )
    expect(refusal(client(`access: [${entries}]`))).toContain(
      'clients[0].access: has 201 entries; at most 200',
    )
  })

  test('a bomb of aliases, without taking its time or memory', () => {
    const levels = Array.from({ length: 9 }, (_, level) => `- &l${level + 1} [${`*l${level}, `.repeat(9)}]`)
    const startedAt = performance.now()
    expect(refusal(`- &l0 [a, b, c]\n${levels.join('\n')}\n`)).toContain('has more than 10000000 values')
    const lists = `x: &s [${Array.from({ length: 100 }, (_, index) => `s${index}`).join(', ')}]`
    const accesses = Array.from({ length: 200 }, (_, index) => `{audience: urn:${index}, scopes: *s}`).join(
      ', ',
    )
    const clients = Array.from({ length: 2_000 }, (_, index) => `{client_id: c${index}, access: *a}`).join(
      ', ',
    )
    expect(refusal(`${lists}\ny: &a [${accesses}]\nclients: [${clients}]\n`)).toContain('split it')
    const long = `x: &s [${Array.from({ length: 1_200 }, () => '" "').join(', ')}]`
    const client = `{client_id: c, access: [${Array.from({ length: 100 }, () => '{scopes: *s}').join(', ')}]}`
    expect(refusal(`${long}\nclients: [{client_id: d}, ${client}]\n`)).toBe(
      'x.yaml has a mistake; nothing was applied.\n  x.yaml:2:27: clients[1]: has more than 100000 values, ' +
        'with each alias counted as the values that it stands for; split it',
    )
    expect(performance.now() - startedAt).toBeLessThan(15_000)
  })
})
