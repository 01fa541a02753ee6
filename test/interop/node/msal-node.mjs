import { ConfidentialClientApplication, ProtocolMode } from '@azure/msal-node'

const { ISSUER: issuer, CLIENT_ID: clientId, CLIENT_SECRET: clientSecret } = process.env
// --- snippet
const application = new ConfidentialClientApplication({
  auth: { clientId, clientSecret, authority: issuer, knownAuthorities: [new URL(issuer).host] },
  system: { protocolMode: ProtocolMode.OIDC }, // its default looks for endpoints of Microsoft
})
const { accessToken } = await application.acquireTokenByClientCredential({ scopes: ['orders:read'] })
// --- end
console.log(accessToken)
