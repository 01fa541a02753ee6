import { hash } from 'node:crypto'
import type { Forgery } from '../../certificates/forgery.ts'
import { pemOf } from '../../lib/pem.ts'
import type { HeaderLine } from './front-door.ts'

/** One way to claim a certificate that the caller does not have. */
export interface Spoof {
  readonly what: string
  readonly headers: readonly HeaderLine[]
  /** On a connection with another certificate, which the caller does have. */
  readonly isBeside?: true
}

/** Every form, and what careless proxies pass on beside their own header or in the place of it. */
export function spoofsOf({ leaf, authority }: Forgery): readonly Spoof[] {
  const bytes = (der: Buffer) => `:${der.toString('base64')}:`
  const escaped = (...ders: readonly Buffer[]) =>
    encodeURIComponent(ders.map((der) => pemOf('CERTIFICATE', der)).join(''))
  const hop = `Hash=${hash('sha256', leaf, 'hex')};Cert="${escaped(leaf)}"`
  const values = {
    'Client-Cert': bytes(leaf),
    'ssl-client-cert': escaped(leaf),
    'X-Forwarded-Client-Cert': hop,
  }
  const each = Object.entries(values).flatMap(([name, value]): Spoof[] => [
    { what: name, headers: [[name, value]] },
    { what: `${name}, beside a certificate`, headers: [[name, value]], isBeside: true },
    { what: name.toUpperCase(), headers: [[name.toUpperCase(), value]] },
    {
      what: `${name}, twice`,
      headers: [
        [name, value],
        [name, value],
      ],
    },
    { what: name.replaceAll('-', '_'), headers: [[name.replaceAll('-', '_'), value]] },
    { what: `${name}, a space before the colon`, headers: [[`${name} `, value]] },
  ])
  return [
    ...each,
    {
      what: 'Client-Cert with Client-Cert-Chain',
      headers: [
        ['Client-Cert', bytes(leaf)],
        ['Client-Cert-Chain', bytes(authority)],
      ],
    },
    {
      what: 'ssl-client-cert with ssl-client-verify',
      headers: [
        ['ssl-client-cert', escaped(leaf)],
        ['ssl-client-verify', 'SUCCESS'],
      ],
    },
    {
      what: 'X-Forwarded-Client-Cert with a chain',
      headers: [['X-Forwarded-Client-Cert', `${hop};Chain="${escaped(leaf, authority)}"`]],
    },
    {
      what: 'X-Forwarded-Client-Cert of two hops',
      headers: [['X-Forwarded-Client-Cert', `${hop},${hop}`]],
    },
  ]
}
