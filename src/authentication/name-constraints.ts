import { isNameWithin } from './distinguished-name.ts'

/** The names that a CA may certify (RFC 5280 §4.2.1.10). Pure. */

/**
 * A name in a certificate, or the place under which names must be. `other` is a type that is not compared here.
 * - directory: the text of a name (distinguished-name.ts)
 * - address: the bytes of an address in hex; as a place, an address and a mask
 */
export interface ConstrainedName {
  readonly type: 'dns' | 'email' | 'uri' | 'address' | 'directory' | 'other'
  readonly value: string
}

export interface Constraints {
  readonly permitted: readonly ConstrainedName[]
  readonly excluded: readonly ConstrainedName[]
}

/**
 * Whether a CA with these constraints may certify all of these names. It may not certify a name that cannot be
 * compared.
 */
export function areNamesAllowed(names: readonly ConstrainedName[], constraints: Constraints): boolean {
  const { permitted, excluded } = constraints
  const isOther = ({ type }: ConstrainedName): boolean => type === 'other'
  if (permitted.some(isOther) || excluded.some(isOther)) return false
  return names.every((name) => {
    const alike = ({ type }: ConstrainedName): boolean => type === name.type
    const places = permitted.filter(alike)
    return (
      (places.length === 0 || places.some((place) => isWithin(name, place))) &&
      excluded.filter(alike).every((place) => !isWithin(name, place, true))
    )
  })
}

/** @param whenUnclear what to say of a name that cannot be compared. */
function isWithin(name: ConstrainedName, place: ConstrainedName, whenUnclear = false): boolean {
  const { value } = name
  switch (name.type) {
    case 'dns':
      return isHostWithin(value, place.value, true)
    case 'email': {
      const at = value.lastIndexOf('@')
      if (place.value.includes('@')) return value.toLowerCase() === place.value.toLowerCase()
      return isHostWithin(value.slice(at + 1), place.value, false)
    }
    case 'uri': {
      const host = hostOf(value)
      return host === undefined ? whenUnclear : isHostWithin(host, place.value, false)
    }
    case 'address':
      return isAddressWithin(value, place.value)
    case 'directory':
      return isNameWithin(value, place.value)
    case 'other':
      return whenUnclear
  }
}

/**
 * A place that begins with a dot has all hosts below it.
 * @param withBelow whether any other place has them as well.
 */
function isHostWithin(host: string, place: string, withBelow: boolean): boolean {
  const [name, within] = [host.toLowerCase(), place.toLowerCase()]
  if (within === '') return true
  if (within.startsWith('.')) return name.endsWith(within)
  return name === within || (withBelow && name.endsWith(`.${within}`))
}

/** Another family is another place. */
function isAddressWithin(value: string, place: string): boolean {
  const [address, within] = [Buffer.from(value, 'hex'), Buffer.from(place, 'hex')]
  if (within.length !== address.length * 2) return false
  return address.every((byte, index) => {
    const mask = within[address.length + index] ?? 0
    return (byte & mask) === ((within[index] ?? 0) & mask)
  })
}

function hostOf(uri: string): string | undefined {
  const [, host] =
    /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([A-Za-z0-9._-]+)(?::\d*)?(?:[/?#]|$)/.exec(uri) ?? []
  return host
}
