// The health check of the image: exits with 0 if the service in this container is ready, and with 1 if not.
import { request as requestPlain } from 'node:http'
import { request as requestEncrypted } from 'node:https'
import process from 'node:process'

const {
  HOST = '',
  PORT = '',
  MINTMARK_TLS_CERTIFICATE = '',
  MINTMARK_TLS_CERTIFICATE_FILE = '',
} = process.env
const isEncrypted = MINTMARK_TLS_CERTIFICATE !== '' || MINTMARK_TLS_CERTIFICATE_FILE !== ''
/** @type {Readonly<Record<string, string>>} */
const everyAddress = { '': '127.0.0.1', '0.0.0.0': '127.0.0.1', '::': '::1' }
const options = {
  host: everyAddress[HOST] ?? HOST,
  port: PORT || 8080,
  path: '/readyz',
  // NODE_USE_ENV_PROXY gives the shared one a proxy, which knows nothing of an address in this container.
  agent: false,
  // The certificate is for the name by which others reach the service, and not for this address.
  rejectUnauthorized: false,
}

const request = (isEncrypted ? requestEncrypted : requestPlain)(options, (response) => {
  process.exit(response.statusCode === 200 ? 0 : 1)
})
request.once('error', () => process.exit(1)).end()
