import { buildMcpServer } from './mcp-server.js'

const { ISSUER = 'http://127.0.0.1:8080', MCP_URL = 'http://127.0.0.1:8095/mcp' } = process.env

const app = buildMcpServer({ issuer: ISSUER, url: MCP_URL, logger: true })
await app.listen({ host: '127.0.0.1', port: Number(new URL(MCP_URL).port) })
process.once('SIGTERM', () => app.close())
