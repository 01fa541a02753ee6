import { z } from 'zod'
import { fieldProblem } from '../authentication/certificate-field.ts'
import { limits } from '../limits.ts'
import { type CertificateFieldName, certificateFieldNames } from '../registry/client.ts'
import { subjectOfAssertion } from '../registry/issuer.ts'
import { found, foundAndStop } from './registration-values.ts'

/**
 * The fields that name somebody in a certificate (RFC 8705 section 2.1.2): of a client, and of a certificate that a client
 * or a workload must bring in addition. They are a part of the schema (registration.ts).
 */

type FieldSchema = (name: CertificateFieldName, description: string) => z.ZodOptional<z.ZodString>

/** @param other a value that is also allowed, besides names. */
const fieldSchema =
  (other?: string): FieldSchema =>
  (name, description) =>
    z
      .string()
      .max(limits.certificateFieldCharactersMax, foundAndStop('text_too_long'))
      .refine(
        (value) => value === other || fieldProblem({ name, value }) === undefined,
        found('certificate_field_malformed'),
      )
      .describe(description)
      .optional()

/** RFC 8705 §2.1.2. */
const fieldsBy = (certificateField: FieldSchema) => ({
  tls_client_auth_subject_dn: certificateField(
    'tls_client_auth_subject_dn',
    'The whole subject of the certificate (RFC 4514), like CN=billing,O=Example.',
  ),
  tls_client_auth_san_dns: certificateField(
    'tls_client_auth_san_dns',
    'A DNS name in the certificate. Never a wildcard.',
  ),
  tls_client_auth_san_uri: certificateField(
    'tls_client_auth_san_uri',
    'A URI in the certificate, such as a SPIFFE ID.',
  ),
  tls_client_auth_san_ip: certificateField(
    'tls_client_auth_san_ip',
    'An IP address in the certificate. The address of the caller does not matter.',
  ),
  tls_client_auth_san_email: certificateField(
    'tls_client_auth_san_email',
    'An e-mail address in the certificate.',
  ),
})
export const certificateFields = fieldsBy(fieldSchema())

export const namedIn = (fields: object): CertificateFieldName[] =>
  certificateFieldNames.filter((name) => Object.hasOwn(fields, name))

/**
 * Reports the second of two fields. A certificate can have several names, so the registration must say which one
 * counts.
 */
export function reportSeveral(fields: object, issues: z.core.$ZodRawIssue[], path: readonly string[]): void {
  const [, second] = namedIn(fields)
  if (second === undefined) return
  const message = found('certificate_fields_several')
  issues.push({ code: 'custom', message, input: fields, path: [...path, second] })
}

const requiredCertificateOf = (fields: typeof certificateFields) =>
  z.strictObject(fields).check(({ value, issues }) => {
    reportSeveral(value, issues, [])
    if (namedIn(value).length > 0) return
    issues.push({ code: 'custom', message: found('certificate_field_missing'), input: value })
  })

export const requiredCertificate = requiredCertificateOf(certificateFields).describe(
  'What a certificate must have that the client brings in addition to its secret or assertion.',
)

/** The same for the rule of an issuer, where a field may name the subject of the assertion. */
export const requiredCertificateOfRule = requiredCertificateOf(fieldsBy(fieldSchema(subjectOfAssertion)))
