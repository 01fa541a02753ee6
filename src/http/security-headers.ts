import helmet from '@fastify/helmet'
import fastify from 'fastify'
import { withoutSchemas } from './without-schemas.ts'

/** The headers that Helmet sets. They never change, so they are read once and not at every request. */
export async function securityHeaders(strictTransportSecurity: boolean): Promise<Record<string, string>> {
  const app = fastify(withoutSchemas)
  await app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { 'default-src': ["'none'"], 'frame-ancestors': ["'none'"] },
    },
    strictTransportSecurity,
  })
  app.get('/', (_request, reply) => reply.send(reply.raw.getHeaders()))
  const headers = (await app.inject('/')).json()
  await app.close()
  return headers
}
