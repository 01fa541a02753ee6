import { expect, test } from 'vitest'
import { endOf } from '../../src/administration/client-end.ts'

const never = undefined

test.each<
  [
    string,
    string | undefined,
    number | undefined,
    (number | undefined)[],
    (number | undefined)[],
    number | undefined,
  ]
>([
  ['nothing ends', undefined, never, [never], [], never],
  ['it expires itself', undefined, 50, [never], [], 50],
  ['its only secret expires', undefined, never, [40], [], 40],
  ['the later of two secrets counts', undefined, never, [40, 60], [], 60],
  ['one secret has no end', undefined, never, [40, never], [], never],
  ['it expires before its secret', undefined, 30, [40], [], 30],
  ['its secret expires before itself', undefined, 90, [40], [], 40],
  ['a key lasts longer', undefined, never, [40], [80], 80],
  ['a key does not help where the secret is demanded', 'client_secret_basic', never, [40], [never], 40],
  ['a secret does not help where the key is demanded', 'private_key_jwt', never, [never], [40], 40],
  ['neither counts for another method', 'tls_client_auth', 70, [40], [40], 70],
  ['without any credential, only its own end is one', undefined, 70, [], [], 70],
])('%s', (_title, tokenEndpointAuthMethod, expiresAt, secrets, keys, end) => {
  expect(endOf({ tokenEndpointAuthMethod, expiresAt }, { secrets, keys })).toBe(end)
})
