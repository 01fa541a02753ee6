import {
  type CertificateField,
  type CertificateFieldName,
  certificateFieldNames,
} from '../registry/client.ts'

/** The one field of a certificate that counts, in the words of a file: its name of RFC 8705 §2.1.2 and a value. */
export type CertificateWords = { readonly [Name in CertificateFieldName]?: string | undefined }

/** The first field that is named; undefined if there is none. */
export function fieldIn(words: CertificateWords): CertificateField | undefined {
  for (const name of certificateFieldNames) {
    const value = words[name]
    if (value !== undefined) return { name, value }
  }
  return undefined
}

export const fieldWords = (field: CertificateField | undefined): CertificateWords =>
  field === undefined ? {} : { [field.name]: field.value }
