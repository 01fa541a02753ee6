const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env

// --- snippet
import { createServer } from 'node:http'
import { createVerifier, requireToken } from '@mintmark/verifier'

const guard = requireToken(createVerifier({ issuer, audience }), { scope: 'orders:read' })
const server = createServer(async (request, response) => {
  const claims = await guard(request, response)
  if (claims === undefined) return // it is answered
  response.end(JSON.stringify({ caller: claims.client_id }))
})
// --- end
server.listen(0, '127.0.0.1', async () => {
  const headers = { authorization: `Bearer ${token}` }
  const answer = await fetch(`http://127.0.0.1:${server.address().port}/`, { headers })
  console.log(answer.ok ? (await answer.json()).caller : answer.headers.get('www-authenticate'))
  process.exit(answer.ok ? 0 : 1)
})
