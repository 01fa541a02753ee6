import { LRUCache } from 'lru-cache'

/**
 * Holds what was used last, never more than so many entries. The library makes room for all of them at once if it is
 * told a number: 6 ms and 3 MB for 100,000, in every process and before there is any. It grows with what it holds if it
 * is told how large everything may be together, so every entry has the size 1. A hit costs the same.
 */
export function boundedCache<Key extends {}, Value extends {}>(entriesMax: number): LRUCache<Key, Value> {
  return new LRUCache<Key, Value>({ maxSize: entriesMax, sizeCalculation: () => 1 })
}
