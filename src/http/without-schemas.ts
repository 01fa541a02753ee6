/**
 * An option for Fastify. No route of ours has a schema. The compilers that Fastify would load for schemas are a hundred
 * files, which cost every start time and memory.
 */
export const withoutSchemas = {
  schemaController: { compilersFactory: { buildValidator: refuse, buildSerializer: refuse } },
}

function refuse(): never {
  throw new Error('a route has a schema, and no compiler is loaded for it (http/without-schemas.ts)')
}
