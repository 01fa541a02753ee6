import { createVerifier, requireToken, tokenOf } from '@mintmark/verifier'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import Fastify from 'fastify'
import { z } from 'zod'

/**
 * A small MCP server. Whoever has a token for it with the scope tools:use may call its tools. It issues nothing and keeps no
 * secret: a call without a token is told where the authorization server is (RFC 9728), and agents do the rest themselves.
 * @param {{ issuer: string, url: string, logger?: import('fastify').FastifyServerOptions['logger'] }} options
 *   `url` is the address by which agents call it. It is the audience of their tokens.
 */
export function buildMcpServer({ issuer, url, logger = false }) {
  const app = Fastify({ logger })
  /** One line for each call: who, what, and what came of it. */
  const log = (event) => app.log.info(event, 'token')
  const verifier = createVerifier({
    issuer,
    audience: url,
    name: 'mcp-server',
    scopesSupported: ['tools:use'],
    onVerified: log,
    onRefused: log,
    onKeysFault: (fault) => app.log.warn(fault, 'keys'),
  })

  app.post(
    new URL(url).pathname,
    { preHandler: requireToken(verifier, { scope: 'tools:use' }) },
    async (request, reply) => {
      const server = toolsFor(tokenOf(request))
      // Without sessions: each call brings its token, and each token is verified.
      const transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: undefined,
        enableJsonResponse: true,
      })
      reply.hijack()
      await server.connect(transport)
      await transport.handleRequest(request.raw, reply.raw, request.body)
    },
  )

  // Where an agent that was refused reads how to get a token (RFC 9728).
  const { path, document } = verifier.resourceMetadata
  app.get(path, () => document)
  return app
}

/** The tools, for one caller. `sub` is who it is: it is never given to anybody else. */
function toolsFor({ sub, client_id: clientId, scope }) {
  const server = new McpServer({ name: 'mcp-server', version: '0.1.0' })
  const said = (value) => ({ content: [{ type: 'text', text: JSON.stringify(value) }] })
  server.registerTool('whoami', { description: 'Says who calls.' }, () =>
    said({ sub, client_id: clientId, scope }),
  )
  server.registerTool(
    'add',
    { description: 'Adds two numbers.', inputSchema: { a: z.number(), b: z.number() } },
    ({ a, b }) => said({ sum: a + b, by: sub }),
  )
  return server
}
