/** A secret that somebody hands to the log by mistake does not come out, and errors give away what they must. */
import { Writable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { plainText } from '../../src/lib/plain-text.ts'
import { OAuthError } from '../../src/refusals.ts'
import { createLog, describeError, type RequestEvent, requestLog } from '../../src/telemetry/log.ts'

function capture(level = 'trace') {
  const lines: string[] = []
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    },
  })
  return { log: createLog(level, destination), lines }
}

const canary = 'CANARY-0123456789'
const secretNames = [
  'authorization',
  'client_secret',
  'clientSecret',
  'secret',
  'password',
  'access_token',
  'accessToken',
  'client_assertion',
  'assertion',
  'privateKey',
  'private_key',
  'keyEncryptionKey',
  'body',
  'rawHeaders',
]

describe('redaction', () => {
  test.each(secretNames)('%s is never written: at the top, one level down, and two', (name) => {
    for (const value of [canary, { nested: canary }, ['a', canary]]) {
      for (const bindings of [{ [name]: value }, { a: { [name]: value } }, { a: { b: { [name]: value } } }]) {
        const { log, lines } = capture()
        log.info(bindings, 'message')
        log.child(bindings).error('message')
        expect(lines).toHaveLength(2)
        for (const line of lines) {
          expect(line).not.toContain(canary)
          expect(line).toContain('[redacted]')
        }
      }
    }
  })

  test('leaves everything else as it is', () => {
    const { log, lines } = capture()
    log.info({ clientId: 'billing', at: { secretId: 'k3v9x2ab' } }, 'message')
    expect(JSON.parse(lines.join(''))).toMatchObject({ clientId: 'billing', at: { secretId: 'k3v9x2ab' } })
    expect(lines.join('')).not.toContain('redacted')
  })
})

describe('a line', () => {
  const event: RequestEvent = {
    requestId: 'abc-1',
    method: 'POST',
    route: '/token',
    status: 200,
    durationMilliseconds: 1.5,
    address: '10.0.0.1',
  }

  test('is one JSON object with the level by name and the time as text', () => {
    const { log, lines } = capture()
    requestLog(log)({ ...event, clientId: 'a\n{"level":"error"}' })
    expect(lines.join('').trimEnd()).not.toContain('\n')
    const line = JSON.parse(lines.join(''))
    expect(line).toMatchObject({
      level: 'info',
      service: 'mintmark',
      event: 'request',
      ...event,
      clientId: 'a\n{"level":"error"}',
    })
    expect(line.message).toBe('POST /token 200')
    expect(new Date(line.time).toISOString()).toBe(line.time)
  })

  test.each([
    [200, 'info'],
    [304, 'info'],
    [400, 'warn'],
    [401, 'warn'],
    [499, 'warn'],
    [500, 'error'],
    [503, 'error'],
  ])('of a request answered with %i has the level %s', (status, level) => {
    const { log, lines } = capture()
    requestLog(log)({ ...event, status })
    expect(JSON.parse(lines.join('')).level).toBe(level)
  })

  test('below the level that was asked for is not written', () => {
    const { log, lines } = capture('error')
    requestLog(log)({ ...event, status: 401 })
    expect(lines).toEqual([])
    const silent = capture('silent')
    requestLog(silent.log)({ ...event, status: 500 })
    expect(silent.lines).toEqual([])
  })
})

describe('describeError', () => {
  test('tells name, message, code and stack, and the same of its causes without their stacks', () => {
    const cause = Object.assign(new TypeError('the cause'), { code: 'ECONNREFUSED' })
    const error = new OAuthError('ledger_unavailable', { cause })
    expect(describeError(error)).toEqual({
      name: 'OAuthError',
      message: 'ledger_unavailable',
      stack: error.stack,
      cause: { name: 'TypeError', message: 'the cause', code: 'ECONNREFUSED' },
    })
  })

  test('never tells any other field, of the error or of its causes', () => {
    const fields = Object.fromEntries(
      [
        'detail',
        'query',
        'parameters',
        'where',
        'config',
        'meta',
        'errors',
        'secret',
        'toJSON',
        'password',
      ].map((name) => [name, canary]),
    )
    const deep = Object.assign(
      new Error('deep', { cause: Object.assign(new Error('deeper'), fields) }),
      fields,
    )
    const described = describeError(Object.assign(new Error('outer', { cause: deep }), fields))
    expect(JSON.stringify(described)).not.toContain(canary)
    expect(JSON.stringify(described)).toContain('deeper')
  })

  test('a code that is not text is not a code', () => {
    expect(describeError(Object.assign(new Error('x'), { code: { canary } }))).not.toHaveProperty('code')
    expect(describeError(Object.assign(new Error('x'), { code: 7 }))).not.toHaveProperty('code')
  })

  test('ends, even where causes go in a circle', () => {
    const first = new Error('first')
    const second = new Error('second', { cause: first })
    first.cause = second
    expect(JSON.stringify(describeError(first)).match(/"name"/g)).toHaveLength(4)
  })

  test('a message has a bound', () => {
    expect((describeError(new Error('m'.repeat(10_000)))['message'] as string).length).toBe(500)
  })

  test.each([
    ['a text', 'gone', 'gone'],
    ['nothing', undefined, 'undefined'],
    ['null', null, 'null'],
    ['a number', 7, '7'],
    ['a symbol', Symbol('gone'), 'Symbol(gone)'],
    ['a long text', 'm'.repeat(10_000), 'm'.repeat(200)],
    ['an object', { secret: canary }, '[object Object]'],
  ])('what is thrown and no error is told as text: %s', (_title, thrown, message) => {
    expect(describeError(thrown)).toEqual({ message })
  })

  test('what cannot even be told as text does not make it worse', () => {
    expect(describeError(Object.create(null))).toEqual({ message: 'something that has no text' })
  })
})

describe('what a stranger chose', () => {
  const all = '\u001b[31m\r\n\u009b31m\u202e\u200b\u2066\ufeff\u00ad\u{e0041}\ud800'

  test('stands in no line as it is, wherever it stands in it', () => {
    const { log, lines } = capture()
    log.info({ event: 'other', deep: { text: all }, [all]: 1 }, all)
    log.child({ bound: all }).warn('message')
    const request = { requestId: 'r', method: 'POST', route: '/token', status: 401, durationMilliseconds: 1 }
    requestLog(log)({ ...request, address: all, clientId: all, audience: all })
    for (const line of lines) expect(line).toBe(`${plainText(line.slice(0, -1))}\n`)
    expect(lines).toHaveLength(3)
  })
})

describe('a line is short, whatever somebody wrote into a row or an error', () => {
  const long = 'x'.repeat(1_000_000)

  test.each([
    ['a text', { kid: long }],
    ['a list', { keys: Array.from({ length: 100_000 }, (_, index) => `key ${index}`) }],
    ['an error', { error: describeError(new Error(long, { cause: new Error(long) })) }],
    ['further inside', { a: [{ b: [long] }] }],
  ])('%s', (_title, fields) => {
    const { log, lines } = capture()
    log.error({ event: 'fault', ...fields }, 'what happened')
    const line = lines.join('')
    expect(line.length).toBeLessThan(20_000)
    expect(JSON.parse(line)).toMatchObject({ event: 'fault', level: 'error', message: 'what happened' })
    expect(line).toMatch(/… \((?:1\d{6} characters|100000 in all)\)/)
  })

  test('and one of usual length stays as it is', () => {
    const { log, lines } = capture()
    const keys = Array.from({ length: 100 }, (_, index) => `key ${index}`)
    log.error({ event: 'fault', keys }, 'y'.repeat(5_000))
    expect(JSON.parse(lines.join(''))).toMatchObject({ keys, message: 'y'.repeat(5_000) })
  })
})
