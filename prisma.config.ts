import { defineConfig } from 'prisma/config'

// `prisma db seed` runs nothing but the command below, and yet asks for the schema engine first, which npm does
// not carry. Told that any program is that engine, it does not look for one. Only where nothing else is asked
// for: `prisma migrate` needs the real one.
const [, , topic, action] = process.argv
if (topic === 'db' && action === 'seed') process.env['PRISMA_SCHEMA_ENGINE_BINARY'] ??= process.execPath

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
