import { createPublicKey } from 'node:crypto'
import { AdministrationError } from '../errors.ts'
import { readBounded } from '../lib/bounded-file.ts'
import { unreadable } from './mistake.ts'

/** Far more than ten of the largest keys take. */
const keyFileBytesMax = 256 * 1024

/**
 * The keys in a file, as a registration would list them: a JSON Web Key, a set of them, public keys in PEM, or a certificate. What may be
 * registered is not judged here (registration.ts), except for a private key in PEM, which never becomes anything else.
 * @throws AdministrationError when it cannot be read. No message repeats what is in the file.
 */
export function readKeyFile(path: string): readonly unknown[] {
  let text: string
  try {
    text = readBounded(path, keyFileBytesMax).toString('utf8')
  } catch (error) {
    throw unreadable(path, error, keyFileBytesMax)
  }
  return text.includes('-----BEGIN') ? keysInPem(text, path) : keysInJson(text, path)
}

const pemBlock = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g

/** The second one is PKCS#1, which older tools write for RSA. */
const isPublicKey = (label: string | undefined): boolean =>
  label === 'PUBLIC KEY' || label === 'RSA PUBLIC KEY'

function keysInPem(text: string, path: string): readonly unknown[] {
  const blocks = [...text.matchAll(pemBlock)]
  // Parameters of a curve stand before the key in files that OpenSSL writes.
  const keys = blocks.filter(([, label]) => label !== 'EC PARAMETERS')
  if (keys.some(([, label]) => label?.endsWith('PRIVATE KEY')))
    throw new AdministrationError('key_is_private', { path })
  // The key of one certificate. Of several, some would be the keys of CAs.
  const isCertificate = keys.length === 1 && keys[0]?.[1] === 'CERTIFICATE'
  if (!isCertificate && (keys.length === 0 || !keys.every(([, label]) => isPublicKey(label)))) {
    throw new AdministrationError('key_unreadable', { path })
  }
  return keys.map(([block]) => {
    try {
      return createPublicKey(block).export({ format: 'jwk' })
    } catch {
      // Without the cause: it may repeat a part of the file.
      throw new AdministrationError('key_unreadable', { path })
    }
  })
}

function keysInJson(text: string, path: string): readonly unknown[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new AdministrationError('key_unreadable', { path })
  }
  const keys = typeof value === 'object' && value !== null && 'keys' in value ? value.keys : [value]
  if (!Array.isArray(keys) || keys.length === 0) throw new AdministrationError('key_unreadable', { path })
  return keys
}
