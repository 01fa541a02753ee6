import { hash } from 'node:crypto'

/**
 * A tree of hashes over everything that was registered by holders of the key-encryption key (Merkle 1987). One hash, that
 * of the root, stands for all of it, so one MAC is enough (seal-head.ts).
 *
 * A *statement* says what was registered about a client, a resource or an issuer, or which workloads are blocked. It is in
 * the leaf that the hash of its name leads to. Every node above has the hashes of the nodes below it. So a process that
 * reads a client also reads the nodes on the way to its leaf. It then sees, without any other row, whether the
 * statement is the current one. A statement that was replaced or removed cannot come back, because the root would be
 * another one.
 *
 * A change costs the nodes on the way. Sixteen children and four levels make 65,536 leaves: with 100,000 clients each has
 * one or two statements, and with a million fifteen.
 */
export type Subject = 'client' | 'resource' | 'issuer' | 'workload'

/** JSON: the subject and its id, and then what is said about it (statement-text.ts). */
export type Statement = readonly [subject: Subject, id: string, ...said: unknown[]]

/** The content of nodes, by where they are: `''` is the root, `'3'` its child, `'3fa0'` a leaf. */
export type Nodes = ReadonlyMap<string, string>

export const treeDepth = 4

/** Where a statement is. The database computes the same (seal-store.ts). */
export function leafOf(subject: Subject, id: string): string {
  return hash('sha256', `${subject} ${id}`, 'hex').slice(0, treeDepth)
}

/** The nodes from the root to a leaf. */
export function wayTo(leaf: string): string[] {
  return Array.from({ length: treeDepth + 1 }, (_, depth) => leaf.slice(0, depth))
}

/** A node is missing, or is not what the node above it says. */
export class TreeDamaged extends Error {
  override readonly name = 'TreeDamaged'
}

/** The result of the changes of a tree. */
export interface TreeChange {
  /** Undefined when nothing is registered any more. */
  readonly root: string | undefined
  /** The content of every node that changed; undefined where nothing is left. */
  readonly nodes: ReadonlyMap<string, string | undefined>
}

type Children = Readonly<Record<string, string>>

/** A tree, as far as its nodes were read. */
export class SealTree {
  readonly #root: string | undefined
  readonly #nodes: Nodes
  /** Nodes whose hash was found right, so that each is hashed once. */
  readonly #sound = new Map<string, unknown>()
  readonly #changes = new Map<string, Map<string, Statement | undefined>>()

  /** @param root the hash of the root; undefined for a tree that is empty. */
  constructor(root: string | undefined, nodes: Nodes) {
    this.#root = root
    this.#nodes = nodes
  }

  /**
   * What was last registered about a subject.
   * @throws TreeDamaged if that cannot be told.
   */
  statementOf(subject: Subject, id: string): Statement | undefined {
    const leaf = leafOf(subject, id)
    const changed = this.#changes.get(leaf)
    const key = keyOf(subject, id)
    if (changed?.has(key)) return changed.get(key)
    return this.#statementsIn(leaf).find((statement) => statement[0] === subject && statement[1] === id)
  }

  /** Replaces what is said about a subject; undefined removes it. */
  set(subject: Subject, id: string, statement: Statement | undefined): void {
    const leaf = leafOf(subject, id)
    const inLeaf = this.#changes.get(leaf) ?? new Map<string, Statement | undefined>()
    this.#changes.set(leaf, inLeaf.set(keyOf(subject, id), statement))
  }

  get isChanged(): boolean {
    return this.#changes.size > 0
  }

  /** @throws TreeDamaged if a node on the way to a change cannot be believed. */
  change(): TreeChange {
    const nodes = new Map<string, string | undefined>()
    for (const [leaf, changed] of this.#changes) nodes.set(leaf, this.#leafWith(leaf, changed))
    for (let depth = treeDepth - 1; depth >= 0; depth -= 1) {
      const below = [...nodes].filter(([node]) => node.length === depth + 1)
      for (const [parent, changed] of Map.groupBy(below, ([node]) => node.slice(0, depth))) {
        const children: Record<string, string> = { ...(this.#read(parent) as Children | undefined) }
        for (const [node, content] of changed) {
          const name = node.slice(-1)
          if (content === undefined) delete children[name]
          else children[name] = hashOf(node, content)
        }
        const sorted = Object.entries(children).toSorted(([one], [other]) => (one < other ? -1 : 1))
        nodes.set(parent, sorted.length === 0 ? undefined : JSON.stringify(Object.fromEntries(sorted)))
      }
    }
    const root = nodes.has('') ? nodes.get('') : undefined
    if (!nodes.has('')) return { root: this.#root, nodes }
    return { root: root === undefined ? undefined : hashOf('', root), nodes }
  }

  #leafWith(leaf: string, changed: ReadonlyMap<string, Statement | undefined>): string | undefined {
    const statements = new Map(
      this.#statementsIn(leaf).map((statement) => [keyOf(statement[0], statement[1]), statement] as const),
    )
    for (const [key, statement] of changed) {
      if (statement === undefined) statements.delete(key)
      else statements.set(key, statement)
    }
    if (statements.size === 0) return undefined
    const sorted = [...statements].toSorted(([one], [other]) => (one < other ? -1 : 1))
    return JSON.stringify(sorted.map(([, statement]) => statement))
  }

  #statementsIn(leaf: string): readonly Statement[] {
    return (this.#read(leaf) as readonly Statement[] | undefined) ?? []
  }

  /** Undefined where the tree has nothing. @throws TreeDamaged */
  #read(node: string): unknown {
    if (this.#sound.has(node)) return this.#sound.get(node)
    const expected =
      node === '' ? this.#root : (this.#read(node.slice(0, -1)) as Children | undefined)?.[node.slice(-1)]
    let value: unknown
    if (expected !== undefined) {
      const content = this.#nodes.get(node)
      if (content === undefined || hashOf(node, content) !== expected) throw new TreeDamaged(node)
      value = JSON.parse(content)
    }
    this.#sound.set(node, value)
    return value
  }
}

function keyOf(subject: Subject, id: string): string {
  return `${subject} ${id}`
}

/** The place of a node is part of its hash, so that no node can be put in another place. */
function hashOf(node: string, content: string): string {
  return hash('sha256', `${node}\n${content}`, 'base64url')
}
