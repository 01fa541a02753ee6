import type { ClientDefinition } from '../../administration/definition.ts'

/** A note about client ids with a colon; undefined if there is none. */
export function colonNote({ clientId, tokenEndpointAuthMethod }: ClientDefinition): string | undefined {
  if (!clientId.includes(':') || tokenEndpointAuthMethod === 'client_secret_post') return undefined
  return (
    `${clientId} has a colon in its id. With HTTP Basic, libraries that do not form-encode the id (RFC 6749 section ` +
    '2.3.1; curl -u and Authlib do not) lose what follows the colon. They can send the secret in the body instead.'
  )
}
