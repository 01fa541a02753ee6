import { defineConfig } from 'prisma/config'

// For people who use Prisma's own tools on this schema. The service itself needs none of them:
// bin/mintmark generates the client, and `bin/mintmark migrate` applies migrations.
export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: {
    path: 'prisma/migrations',
    seed: 'node_modules/.bin/node --disable-warning=ExperimentalWarning prisma/seed.ts',
  },
  datasource: { url: process.env['DATABASE_URL'] ?? '' },
})
