import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Tally } from '../telemetry/tally.ts'
import { type AnsweringSocket, answerBrokenRequest, answerNoMore } from './broken-request.ts'

/** Status, and the sentence for the caller. */
const problems = {
  HTTP_VERSION: [505, 'This service speaks HTTP/1.1 and HTTP/1.0.'],
  HOST_MISSING: [400, 'The Host header is missing.'],
  HOST_MALFORMED: [400, 'The Host header is malformed.'],
  TRANSFER_CODING: [501, 'The only transfer coding here is chunked, in HTTP/1.1.'],
} as const satisfies Readonly<Record<string, readonly [status: number, description: string]>>

type FramingProblem = keyof typeof problems

/**
 * What Node takes, or refuses without our headers and without a word in the log, and a server must refuse: RFC 9112 §2.3 for
 * the version, §3.2 for Host, §6.1 for transfer codings. Where a proxy and this service disagree about one of them, they may
 * disagree about where a request ends.
 */
function framingProblem({ httpVersion, headers }: IncomingMessage): FramingProblem | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 'HTTP_VERSION'
  if (headers.host === undefined ? httpVersion === '1.1' : !hostForm.test(headers.host))
    return headers.host === undefined ? 'HOST_MISSING' : 'HOST_MALFORMED'
  const coding = headers['transfer-encoding']
  if (coding === undefined) return undefined
  return coding.toLowerCase() === 'chunked' && httpVersion === '1.1' ? undefined : 'TRANSFER_CODING'
}

/** `uri-host [":" port]` (RFC 9110 §7.2), which may be empty. */
const hostForm = /^(?:[\w.~!$&'()*+,;=%-]*|\[[\dA-Za-z:.%_~-]+\])(?::\d*)?$/

/** Refuses a request for its framing, counts it for the log, and closes its connection. */
export type RefuseFraming = (
  problem: FramingProblem,
  request: FastifyRequest,
  reply: FastifyReply,
) => FastifyReply

/**
 * @param constantHeaders the headers of every answer of this service.
 * @returns what refuses a request whose problem only somebody else can see.
 */
export function refuseWhatNodeTakes(
  app: FastifyInstance,
  broken: Tally,
  constantHeaders: Readonly<Record<string, string>>,
): RefuseFraming {
  // Without this listener, Node would answer such requests without our headers.
  app.server.on('checkExpectation', ({ socket }: IncomingMessage, response: ServerResponse) => {
    broken.count('EXPECTATION', socket.remoteAddress)
    response.writeHead(417, { ...constantHeaders, 'content-length': 0 }).end()
  })
  // And would close the connection of such a request without an answer.
  app.server.on('connect', (_request: IncomingMessage, socket: AnsweringSocket) =>
    answerBrokenRequest(broken, constantHeaders, { code: 'CONNECT' }, socket),
  )
  const refuse: RefuseFraming = (problem, request, reply) => {
    broken.count(problem, request.raw.socket.remoteAddress)
    answerNoMore(request.raw.socket)
    const [status, description] = problems[problem]
    reply.headers({ ...constantHeaders, 'x-request-id': request.id, 'cache-control': 'no-store' })
    reply.code(status).header('connection', 'close')
    return reply.send({ error: 'invalid_request', error_description: description })
  }
  app.addHook('onRequest', (request, reply, next) => {
    const problem = framingProblem(request.raw)
    if (problem === undefined) return next()
    refuse(problem, request, reply)
  })
  return refuse
}
