# syntax=docker/dockerfile:1

# The build stage: the image that runs has none of the build tools.
FROM node:24-bookworm-slim AS build
WORKDIR /mintmark
COPY package.json package-lock.json .npmrc ./
# Optional packages are left out: the pinned Node is for development machines. So is the embedded database: the folder
# "packages" is not copied, and npm skips what it does not find there.
RUN npm ci --include=dev --omit=optional --no-audit --no-fund
COPY prisma.config.ts ./
COPY prisma prisma
# Prisma needs no engine to generate the client. It downloads none if this variable names any executable.
RUN PRISMA_SCHEMA_ENGINE_BINARY=/usr/local/bin/node CHECKPOINT_DISABLE=1 npx --no-install prisma generate
RUN npm prune --omit=dev --omit=optional --no-audit --no-fund

FROM node:24-bookworm-slim
WORKDIR /mintmark
ENV HOST=0.0.0.0 PORT=8080
COPY --from=build /mintmark/package.json ./
COPY --from=build /mintmark/node_modules node_modules
COPY --from=build /mintmark/src/generated src/generated
COPY prisma prisma
COPY src src
# The service does not run as root, and its user owns no file in the image.
USER node
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=2s --start-period=15s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/readyz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Write a command of bin/mintmark after the name of the image: serve, migrate, seed FILE, clients list …
ENTRYPOINT ["node", "--disable-warning=ExperimentalWarning", "--max-semi-space-size=16", "src/cli/main.ts"]
CMD ["serve"]
