import { buildInventory } from './inventory.js'

const {
  ISSUER = 'http://127.0.0.1:8080',
  AUDIENCE = 'https://inventory.example.com',
  PORT = '8090',
} = process.env

const app = buildInventory({ issuer: ISSUER, audience: AUDIENCE, logger: true })
await app.listen({ host: '127.0.0.1', port: Number(PORT) })
