import { randomInt } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { SealMemory } from '../../src/registry/seal-head.ts'
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

test('a thousand clients that come, change and go are what was last said, and the root depends on nothing else', () => {
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

describe('the number of a head', () => {
  const head = (number: number, root = `root ${number}`, reviewed = 0) => ({
    number,
    chainBefore: 0,
    reviewed,
    root,
  })

  test('never goes back, and never has two roots', () => {
    const memory = new SealMemory()
    memory.believe(head(5))
    memory.believe(head(7))
    expect(() => memory.believe(head(6))).toThrow('registry')
    expect(() => memory.believe(head(7, 'other'))).toThrow('registry')
    expect(() => memory.missing()).toThrow('registry')
    expect(memory.latest?.number).toBe(7)
  })

  test('once it went back, only the same head or a review is believed', () => {
    const memory = new SealMemory()
    memory.believe(head(7))
    expect(() => memory.believe(head(6))).toThrow('registry')
    // The next changes on what was put back.
    expect(() => memory.believe(head(8))).toThrow('registry')
    expect(() => memory.believe(head(9, 'root', 7))).toThrow('registry')
    expect(memory.believe(head(7)).number).toBe(7)
    expect(memory.believe(head(8)).number).toBe(8)
    expect(() => memory.believe(head(1))).toThrow('registry')
    expect(memory.believe(head(1_000_001, 'root', 1_000_000)).number).toBe(1_000_001)
  })
})
