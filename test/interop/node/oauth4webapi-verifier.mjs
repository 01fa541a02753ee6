import * as oauth from 'oauth4webapi'

const { ISSUER: issuer, AUDIENCE: audience, TOKEN: token } = process.env
const request = new Request('https://orders.example.com/', { headers: { authorization: `Bearer ${token}` } })
// --- snippet
const url = new URL(issuer)
const server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url))
const claims = await oauth.validateJwtAccessToken(server, request, audience)
// --- end
console.log(claims.sub)
