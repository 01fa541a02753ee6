/**
 * A copy of the ledger is verified by itself: whatever somebody does to it is found, wherever it is in the file. Long because it
 * has every way to spoil a copy.
 */
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { canonicalForm, recordHash } from '../../src/ledger/chain.ts'
import { exportColumns, exportForm, Heads } from '../../src/ledger/export.ts'
import type { AuditRecord } from '../../src/ledger/record.ts'
import { recordFields } from '../../src/ledger/record-fields.ts'
import { LedgerVerifier, type VerifyOptions } from '../../src/ledger/verify.ts'

type Line = Record<string, unknown>

const record = (clientId: string): AuditRecord => ({
  time: 1_800_000_000_123,
  type: 'token',
  outcome: 'issued',
  clientId,
  expiresAt: 1_800_000_300,
  detail: { note: 'é"\\', more: [1, null] },
})

/** The lines of a chain with a record for each client. */
function chainLines(chain: number, clients: readonly string[], heads: Heads): Line[] {
  const genesis = createHash('sha256').update(`chain ${chain}`).digest()
  let previous: Buffer = genesis
  const lines = clients.map((client, index) => {
    const canonical = canonicalForm(chain, index + 1, record(client))
    const previousHash = previous.toString('hex')
    previous = recordHash(previous, canonical)
    return recordFields({
      ...record(client),
      chain,
      seq: index + 1,
      hash: previous.toString('hex'),
      previousHash,
      count: 1,
    })
  })
  const end = { chain, records: clients.length, hash: previous.toString('hex') }
  heads.add({ ...end, genesis: genesis.toString('hex') })
  return [{ begin: { chain, genesis: genesis.toString('hex') } }, ...lines, { end }]
}

function exported(): Line[] {
  const heads = new Heads()
  const chains = [
    ...chainLines(3, ['a', 'b', 'c'], heads),
    ...chainLines(4, [], heads),
    ...chainLines(7, ['d', 'e'], heads),
  ]
  return [
    { ledger: { form: exportForm } },
    ...chains,
    { ledger_end: { chains: 3, records: 5, heads: heads.digest() } },
  ]
}

function verify(lines: readonly unknown[], options: VerifyOptions = {}) {
  const verifier = new LedgerVerifier(options)
  // As from a file.
  for (const line of lines) verifier.take(JSON.parse(JSON.stringify(line)))
  return verifier.finish()
}

const codes = (lines: readonly unknown[], options: VerifyOptions = {}) =>
  verify(lines, options).problems.map(({ code }) => code)

const isRecord = (line: Line) => 'seq' in line
const placesOf = (lines: readonly Line[]) => lines.flatMap((line, index) => (isRecord(line) ? [index] : []))

describe('an export', () => {
  test('verifies as it is, also with the heads that it had', () => {
    const { problems, chains, records, heads } = verify(exported())
    expect([problems, chains, records]).toEqual([[], 3, 5])
    expect(codes(exported(), { heads: String(heads) })).toEqual([])
    expect(codes(exported(), { heads: '0'.repeat(64) })).toEqual(['heads_differ'])
  })

  test.each(Object.keys(exported()[2] ?? {}).filter((field) => field !== 'committed_at'))(
    'any record whose %s was edited is found',
    (field) => {
      for (const place of placesOf(exported())) {
        const lines = exported()
        const value = (lines[place] as Line)[field]
        const edited =
          typeof value === 'number' ? value + 1 : typeof value === 'string' ? `1${value.slice(1)}x` : 'set'
        lines[place] = { ...lines[place], [field]: edited }
        expect(codes(lines), `line ${place}`).not.toEqual([])
      }
    },
  )

  /** Every value of every line that a hash is over, by its way from the line. */
  const uncovered = ['committed_at', 'opened_at', 'opened_by']
  const waysIn = (value: object): string[][] =>
    Object.entries(value).flatMap(([name, inner]) =>
      uncovered.includes(name)
        ? []
        : [
            [name],
            ...(name !== 'detail' && typeof inner === 'object' && inner !== null
              ? waysIn(inner).map((rest) => [name, ...rest])
              : []),
          ],
    )
  const others = [null, '', 'x', 'unreadable', 'infinity', 0, 1, -1, 1.5, 1e300, true, [], {}, undefined]

  test('a value that was replaced by any other, or taken out, is found', () => {
    const lines = exported()
    for (const place of lines.keys())
      for (const way of waysIn(lines[place] as Line))
        for (const other of others) {
          const edited = structuredClone(lines)
          const inner = way.slice(0, -1).reduce((at, name) => at[name] as Line, edited[place] as Line)
          const name = way.at(-1) as string
          // Without a value it may be left out, and a record stands for one event.
          if (other === undefined && (inner[name] === null || name === 'count')) continue
          if (JSON.stringify(inner[name]) === JSON.stringify(other)) continue
          inner[name] = other
          expect([place, way, other, codes(edited)]).not.toEqual([place, way, other, []])
        }
  })

  test('a moment or a detail that says the same in another way is found', () => {
    const place = placesOf(exported())[0] as number
    for (const [field, other] of [
      ['time', '2027-01-15T08:00:00.123+00:00'],
      ['time', 'Fri, 15 Jan 2027 08:00:00.123 GMT (approved)'],
      ['expires_at', '2027-01-15T08:05:00.000Z'],
      ['detail', JSON.stringify(record('a').detail)],
    ]) {
      const lines = exported()
      lines[place] = { ...lines[place], [field as string]: other }
      expect([field, other, codes(lines)]).toEqual([field, other, ['record_altered']])
    }
  })

  test('what was added to a line is found, at every depth', () => {
    for (const place of exported().keys()) {
      const lines = exported()
      const line = lines[place] as Line
      expect(codes(lines.with(place, { ...line, approved_by: 'x' })), `line ${place}`).not.toEqual([])
      const [kind = '', inner] = Object.entries(line)[0] ?? []
      if (isRecord(line)) continue
      expect(
        codes(lines.with(place, { [kind]: { ...(inner as Line), note: 'x' } })),
        `in line ${place}`,
      ).not.toEqual([])
    }
  })

  test('the line before all others names the columns as they are, or not at all, and each chain says who opened it', () => {
    const [first, begin, ...rest] = exported() as [Line, Line, ...Line[]]
    const withFirst = (members: object) => [{ ledger: { form: exportForm, ...members } }, begin, ...rest]
    expect(codes(withFirst({ columns: exportColumns }))).toEqual([])
    expect(codes(withFirst({ columns: exportColumns.toReversed() }))).toEqual(['line_unreadable'])
    const opened = { opened_at: '2027-01-15T08:00:00Z', opened_by: 'host 1 mintmark/1.2.3' }
    expect(codes([first, { begin: { ...(begin['begin'] as Line), ...opened } }, ...rest])).toEqual([])
  })

  test('a cursor belongs to a record of a list, and to nothing else', () => {
    const place = placesOf(exported())[0] as number
    const lines = exported()
    lines[place] = { ...lines[place], cursor: '1-2-3' }
    expect(codes([lines[place]], { isPartial: true })).toEqual([])
    expect(codes(lines)).toEqual(['record_altered'])
  })

  test('any line that was removed is found', () => {
    for (const place of exported().keys()) {
      expect(codes(exported().toSpliced(place, 1)), `line ${place}`).not.toEqual([])
    }
  })

  test('any two lines that were exchanged are found', () => {
    const { length } = exported()
    for (let one = 0; one < length; one += 1) {
      for (let other = one + 1; other < length; other += 1) {
        const lines = exported()
        ;[lines[one], lines[other]] = [lines[other] as Line, lines[one] as Line]
        expect(codes(lines), `${one} and ${other}`).not.toEqual([])
      }
    }
  })

  test('cut off anywhere it is found', () => {
    for (let kept = 1; kept < exported().length; kept += 1) {
      expect(codes(exported().slice(0, kept)), `${kept} lines`).not.toEqual([])
    }
  })

  test('any line that was put in, twice or from another chain, is found', () => {
    const lines = exported()
    for (let place = 0; place <= lines.length; place += 1) {
      for (const inserted of [...lines, 'no object', {}, null]) {
        expect(codes(lines.toSpliced(place, 0, inserted as Line)), `at ${place}`).not.toEqual([])
      }
    }
  })

  test('whoever computes all hashes anew is found by the heads alone', () => {
    const heads = new Heads()
    const forged = [
      { ledger: { form: exportForm } },
      ...chainLines(3, ['a', 'b'], heads),
      ...chainLines(7, ['d', 'e'], heads),
      { ledger_end: { chains: 2, records: 4, heads: heads.digest() } },
    ]
    expect(codes(forged)).toEqual([])
    expect(codes(forged, { heads: String(verify(exported()).heads) })).toEqual(['heads_differ'])
  })
})

describe('what is told of an export', () => {
  const [altered, twice] = ['record_altered', 'record_twice'] as const
  const [order, missing, broken] = ['out_of_order', 'records_missing', 'link_broken'] as const
  const [unreadable, chainEnd, end] = ['line_unreadable', 'chain_end_differs', 'export_end_differs'] as const
  const changed = (place: number, name: string, changes: Line): Line[] =>
    exported().with(place, { [name]: { ...(exported()[place]?.[name] as Line), ...changes } })
  /** The third record of chain 3, as it is if another one was made in its place. */
  const otherThird = chainLines(3, ['a', 'b', 'x'], new Heads())[3] as Line
  const [begin3, a, b] = exported().slice(1) as [Line, Line, Line]
  const unbegun = [
    { code: unreadable, line: 2 },
    ...[1, 2, 3].map((seq) => ({ code: order, line: seq + 2, chain: 3, seq })),
    { code: order, line: 6, chain: 3 },
    { code: end, line: 13 },
  ]

  test.each<[string, Line[], ReturnType<typeof verify>['problems']]>([
    ['another form', changed(0, 'ledger', { form: 2 }), [{ code: unreadable, line: 1 }]],
    ['two beginnings', exported().toSpliced(1, 0, exported()[0] as Line), [{ code: order, line: 2 }]],
    ['a chain without a number', changed(1, 'begin', { chain: '3' }), unbegun],
    ['a chain without its beginning', changed(1, 'begin', { genesis: 3 }), unbegun],
    [
      'a chain that begins twice',
      exported().toSpliced(6, 0, begin3),
      [
        { code: order, line: 7, chain: 3 },
        { code: order, line: 8, chain: 4 },
        { code: end, line: 14 },
      ],
    ],
    [
      'a chain that does not end, and lacks a record',
      exported().toSpliced(5, 1).toSpliced(3, 1),
      [
        { code: order, line: 5, chain: 4 },
        { code: missing, line: 4, chain: 3, seq: 3 },
        { code: end, line: 11 },
      ],
    ],
    [
      'the last chain without its end',
      exported().toSpliced(11, 1),
      [
        { code: end, line: 12 },
        { code: end, line: 12 },
      ],
    ],
    ['no end', exported().slice(0, -1), [{ code: end, line: 12 }]],
    ['a record behind the end', [...exported(), a], [{ code: order, line: 14 }]],
    [
      'a record that is missing',
      exported().toSpliced(3, 1),
      [
        { code: missing, line: 4, chain: 3, seq: 3 },
        { code: chainEnd, line: 5, chain: 3 },
        { code: end, line: 12 },
      ],
    ],
    [
      'another number of records in a chain',
      changed(5, 'end', { records: 2 }),
      [{ code: chainEnd, line: 6, chain: 3 }],
    ],
    ['another end of a chain', changed(5, 'end', { hash: 'x' }), [{ code: chainEnd, line: 6, chain: 3 }]],
    ['another number of chains', changed(12, 'ledger_end', { chains: 2 }), [{ code: end, line: 13 }]],
    ['another number of records', changed(12, 'ledger_end', { records: 4 }), [{ code: end, line: 13 }]],
    ['other heads', changed(12, 'ledger_end', { heads: 'x' }), [{ code: end, line: 13 }]],
    [
      'a record that was edited',
      exported().with(2, { ...a, client_id: 'x' }),
      [{ code: altered, line: 3, chain: 3, seq: 1 }],
    ],
    [
      'a record that is there twice',
      exported().toSpliced(3, 0, a),
      [
        { code: twice, line: 4, chain: 3, seq: 1 },
        { code: end, line: 14 },
      ],
    ],
    [
      'two records with one number',
      exported().toSpliced(5, 0, otherThird),
      [
        { code: twice, line: 6, chain: 3, seq: 3 },
        { code: end, line: 14 },
      ],
    ],
    ['two records exchanged', exported().with(2, b).with(3, a), [{ code: order, line: 4, chain: 3, seq: 1 }]],
    [
      'a record on another one before it',
      exported().with(3, chainLines(3, ['x', 'b'], new Heads())[2] as Line),
      [
        { code: broken, line: 4, chain: 3, seq: 2 },
        { code: broken, line: 5, chain: 3, seq: 3 },
      ],
    ],
  ])('%s', (_what, lines, problems) => {
    expect(verify(lines).problems).toEqual(problems)
  })
})

describe('a list', () => {
  const list = () => exported().filter(isRecord)

  test('counts what it has', () => {
    expect(verify(list())).toEqual({ chains: 2, records: 5, heads: undefined, problems: [] })
  })

  test('two records with one number are found, and what differs may be what is before them', () => {
    const [first] = list()
    const other = chainLines(3, ['x'], new Heads())[1]
    const problem = { code: 'record_twice', line: 2, chain: 3, seq: 1 }
    expect(verify([first, other]).problems).toEqual([problem])
    expect(verify([first, { ...first, previous_hash: '0'.repeat(64) }]).problems).toEqual([
      { ...problem, code: 'record_altered' },
      problem,
    ])
  })

  test('verifies in any order, with parts that were printed twice', () => {
    expect(codes(list())).toEqual([])
    expect(codes(list().toReversed())).toEqual([])
    expect(codes([...list(), ...list().slice(2)])).toEqual([])
  })

  test('a record that is missing in the middle or at the beginning is found, unless it is partial', () => {
    for (const place of [0, 1, 3]) {
      expect(codes(list().toSpliced(place, 1))).toEqual(['records_missing'])
      expect(codes(list().toSpliced(place, 1), { isPartial: true })).toEqual([])
    }
  })

  test('a part of it is intact or not, whatever is missing', () => {
    const [first, ...rest] = list()
    expect(codes([{ ...first, client_id: 'b' }], { isPartial: true })).toEqual(['record_altered'])
    const other = { ...rest[0], previous_hash: '0'.repeat(64) }
    expect(codes([first, other], { isPartial: true })).toEqual(['record_altered', 'link_broken'])
  })

  test('of a release whose lists had no previous hashes cannot be verified', () => {
    const [first] = list()
    expect(codes([{ ...first, previous_hash: undefined }])).toEqual(['line_unreadable'])
  })
})
