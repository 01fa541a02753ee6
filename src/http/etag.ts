import { hash } from 'node:crypto'

/** A strong entity tag of a body, with its quotation marks (RFC 9110 §8.8.3). */
export function entityTag(body: string): string {
  return `"${hash('sha256', body, 'base64url').slice(0, 27)}"`
}

/** Whether `If-None-Match` contains the tag, by weak comparison (RFC 9110 §13.1.2). `*` matches every tag. */
export function noneMatchHolds(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  if (header.trim() === '*') return true
  return header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag)
}
