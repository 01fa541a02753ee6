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
  expect(endOf({ tokenEndpointAuthMethod, expiresAt, certificateField: undefined }, { secrets, keys })).toBe(
    end,
  )
})

test('a certificate that a client may use has no end here', () => {
  const certificateField = { name: 'tls_client_auth_san_dns', value: 'a.example.com' } as const
  const credentials = { secrets: [40], keys: [] }
  const client = { tokenEndpointAuthMethod: undefined, expiresAt: undefined, certificateField }
  expect(endOf(client, credentials)).toBe(undefined)
  expect(endOf({ ...client, tokenEndpointAuthMethod: 'client_secret_post' }, credentials)).toBe(40)
  expect(
    endOf({ ...client, tokenEndpointAuthMethod: 'self_signed_tls_client_auth' }, { secrets: [], keys: [50] }),
  ).toBe(50)
})
