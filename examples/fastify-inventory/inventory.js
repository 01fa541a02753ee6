import { createVerifier, requireToken, tokenOf } from '@mintmark/verifier'
import Fastify from 'fastify'

/**
 * A small inventory. Whoever has a token for it with the right scope may read it or take something out.
 * @param {{ issuer: string, audience: string, logger?: import('fastify').FastifyServerOptions['logger'] }} options
 */
export function buildInventory({ issuer, audience, logger = false }) {
  const app = Fastify({ logger })
  /** One line for each call: who, what, and what came of it. */
  const log = (event) => app.log.info(event, 'token')
  const verifier = createVerifier({
    issuer,
    audience,
    name: 'inventory',
    scopesSupported: ['inventory:read', 'inventory:write'],
    onVerified: log,
    onRefused: log,
    onKeysFault: (fault) => app.log.warn(fault, 'keys'),
  })
  const mayRead = requireToken(verifier, { scope: 'inventory:read' })
  const mayWrite = requireToken(verifier, { scope: 'inventory:write' })

  const stock = new Map([
    ['bolts', 400],
    ['nuts', 350],
  ])

  app.get('/items', { preHandler: mayRead }, () => Object.fromEntries(stock))

  app.post('/items/:name/take', { preHandler: mayWrite }, (request, reply) => {
    const left = stock.get(request.params.name)
    if (left === undefined) return reply.code(404).send({ error: 'no such item' })
    if (left === 0) return reply.code(409).send({ error: 'nothing left' })
    stock.set(request.params.name, left - 1)
    return { left: left - 1, takenBy: tokenOf(request).client_id }
  })

  // Where a caller that was refused reads how to get a token (RFC 9728).
  const { path, document } = verifier.resourceMetadata
  app.get(path, () => document)
  return app
}
