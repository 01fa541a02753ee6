import { randomInt } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  leafOf,
  SealTree,
  type Statement,
  type Subject,
  TreeDamaged,
  wayTo,
} from '../../src/registry/seal-tree.ts'

/** A tree as the database keeps it: only the nodes on the way to what is asked for are ever read. */
class Stored {
  root: string | undefined
  readonly nodes = new Map<string, string>()

  open(subjects: readonly (readonly [Subject, string])[]): SealTree {
    const ways = new Set(subjects.flatMap(([subject, id]) => wayTo(leafOf(subject, id))))
    const read = new Map<string, string>()
    for (const node of ways) {
      const content = this.nodes.get(node)
      if (content !== undefined) read.set(node, content)
    }
    return new SealTree(this.root, read)
  }

  write(changes: readonly Statement[], removed: readonly (readonly [Subject, string])[] = []): void {
    const tree = this.open([...changes.map(([subject, id]) => [subject, id] as const), ...removed])
    for (const statement of changes) tree.set(statement[0], statement[1], statement)
    for (const [subject, id] of removed) tree.set(subject, id, undefined)
    const { root, nodes } = tree.change()
    this.root = root
    for (const [node, content] of nodes) {
      if (content === undefined) this.nodes.delete(node)
      else this.nodes.set(node, content)
    }
  }

  read(id: string): Statement | undefined {
    return this.open([['client', id]]).statementOf('client', id)
  }
}

const client = (id: string, said: unknown): Statement => ['client', id, said]

test('after a thousand clients came, changed and went, the tree has what was said last, and the root depends on nothing else', () => {
  const stored = new Stored()
  const model = new Map<string, Statement>()
  for (let round = 0; round < 120; round += 1) {
    const changes = new Map<string, Statement>()
    for (let count = randomInt(1, 40); count > 0; count -= 1) {
      const id = `client-${randomInt(1_000)}`
      changes.set(id, client(id, randomInt(5)))
    }
    const removed = [...model.keys()].filter((id) => !changes.has(id) && randomInt(20) === 0)
    stored.write(
      [...changes.values()],
      removed.map((id) => ['client', id] as const),
    )
    for (const [id, statement] of changes) model.set(id, statement)
    for (const id of removed) model.delete(id)
  }
  for (let number = 0; number < 1_000; number += 1) {
    const id = `client-${number}`
    expect(stored.read(id)).toEqual(model.get(id))
  }
  const anew = new Stored()
  anew.write([...model.values()])
  expect(anew.root).toBe(stored.root)
  expect(Object.fromEntries(anew.nodes)).toEqual(Object.fromEntries(stored.nodes))
  stored.write(
    [],
    [...model.keys()].map((id) => ['client', id] as const),
  )
  expect([stored.root, stored.nodes.size]).toEqual([undefined, 0])
})

describe('what was replaced does not come back', () => {
  const statement = client('billing', 'disabled')
  function changed(): { stored: Stored; before: Map<string, string> } {
    const stored = new Stored()
    stored.write([client('billing', 'active'), client('orders', 'active')])
    const before = new Map(stored.nodes)
    stored.write([statement])
    return { stored, before }
  }

  test.each([0, 1, 2, 3, 4])('with an old node of depth %i alone', (depth) => {
    const { stored, before } = changed()
    const node = wayTo(leafOf('client', 'billing'))[depth] as string
    stored.nodes.set(node, before.get(node) as string)
    expect(() => stored.read('billing')).toThrow(TreeDamaged)
  })

  test('with all old nodes under the new head', () => {
    const { stored, before } = changed()
    for (const [node, content] of before) stored.nodes.set(node, content)
    expect(() => stored.read('billing')).toThrow(TreeDamaged)
  })

  test('with a node at another place, or none', () => {
    const { stored } = changed()
    const leaf = leafOf('client', 'billing')
    stored.nodes.set(leaf, stored.nodes.get(leafOf('client', 'orders')) as string)
    expect(() => stored.read('billing')).toThrow(TreeDamaged)
    stored.nodes.delete(leaf)
    expect(() => stored.read('billing')).toThrow(TreeDamaged)
    expect(stored.read('orders'), 'others are not affected').toEqual(client('orders', 'active'))
  })

  test('and a change never makes a damaged way good', () => {
    const { stored } = changed()
    stored.nodes.set(leafOf('client', 'billing'), JSON.stringify([client('billing', 'active')]))
    expect(() => stored.write([client('billing', 'other')])).toThrow(TreeDamaged)
  })
})

// Found by trying: names are hashed to one of 65,536 leaves.
describe('names whose hashes meet in one leaf', () => {
  const [one, other] = [client('client-300', 'one'), client('client-367', 'other')]
  const written = (...changes: Statement[]) => {
    const stored = new Stored()
    for (const change of changes) stored.write([change])
    return stored
  }

  test('have one root, whichever was written first', () => {
    expect(leafOf('client', 'client-300')).toBe(leafOf('client', 'client-367'))
    expect(written(one, other).root).toBe(written(other, one).root)
    const both = written(one, other)
    expect(both.nodes.get('0ca6')).toBe(JSON.stringify([one, other]))
    expect([both.read('client-300'), both.read('client-367')]).toEqual([one, other])
  })

  test('are a client and a resource with the same name, and each has what was said of it', () => {
    const id = 'service-23118'
    expect(leafOf('client', id)).toBe(leafOf('resource', id))
    for (const subject of ['client', 'resource'] as const) {
      const stored = written([subject, id, 'registered'])
      for (const asked of ['client', 'resource'] as const)
        expect(stored.open([[asked, id]]).statementOf(asked, id) !== undefined).toBe(asked === subject)
    }
  })
})

test('what was set is read back before it is written, and so is what was removed', () => {
  const stored = new Stored()
  stored.write([client('billing', 'active'), client('orders', 'active')])
  const tree = stored.open([
    ['client', 'billing'],
    ['client', 'orders'],
  ])
  expect(tree.isChanged).toBe(false)
  tree.set('client', 'billing', client('billing', 'disabled'))
  tree.set('client', 'orders', undefined)
  expect(tree.isChanged).toBe(true)
  expect(tree.statementOf('client', 'billing')).toEqual(client('billing', 'disabled'))
  expect(tree.statementOf('client', 'orders')).toBeUndefined()
})

test('without a change the root stays, and no node is written', () => {
  const stored = new Stored()
  stored.write([client('billing', 'active')])
  expect(stored.open([]).change()).toEqual({ root: stored.root, nodes: new Map() })
  expect(new SealTree(undefined, new Map()).change()).toEqual({ root: undefined, nodes: new Map() })
})

test('leaves and hashes are what earlier releases wrote: otherwise every sealed registry would look damaged', () => {
  const stored = new Stored()
  stored.write([client('audit', 'active'), client('stock', 'disabled'), client('billing', 'active')])
  expect(['audit', 'stock', 'billing'].map((id) => leafOf('client', id))).toEqual(['f429', 'b3c3', '5654'])
  expect(Object.keys(JSON.parse(stored.nodes.get('') as string) as object)).toEqual(['5', 'b', 'f'])
  expect(stored.root).toBe('vJaAohjsL6T-ZFfGU1qPjcLtERh9itrn5onG-mGyuN8')
})

test('a damaged tree names the node', () => {
  const stored = new Stored()
  stored.write([client('billing', 'active')])
  stored.nodes.delete('56')
  expect(() => stored.read('billing')).toThrow(
    expect.objectContaining({ name: 'TreeDamaged', message: '56' }),
  )
})
