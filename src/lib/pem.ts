/** Texts in PEM (RFC 7468): what stands between the lines that begin and end a block. */
export interface PemBlock {
  readonly label: string
  readonly der: Buffer
}

const block = /-----BEGIN ([A-Z0-9 ]+)-----\s*([A-Za-z0-9+/=\s]*?)-----END \1-----/g

/**
 * All blocks of a text, in order. Text around them is passed over, as tools write it.
 * @throws Error when a block is not complete: the file may be half written.
 */
export function pemBlocks(text: string): PemBlock[] {
  const blocks = [...text.matchAll(block)].map(([, label = '', base64 = '']) => ({
    label,
    der: Buffer.from(base64, 'base64'),
  }))
  const begun = text.split('-----BEGIN ').length - 1
  const ended = text.split('-----END ').length - 1
  if (begun !== blocks.length || ended !== blocks.length || blocks.some(({ der }) => der.length === 0)) {
    throw new Error('has a block of PEM that is not complete')
  }
  return blocks
}

/** A block as OpenSSL writes it: the one spelling that everybody reads in one way. */
export function pemOf(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}
