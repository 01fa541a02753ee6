# syntax=docker/dockerfile:1

# Another base needs Node 24, npm and a user "node": a mirror of this one, or one that an organisation maintains.
ARG BASE_IMAGE=node:24-bookworm-slim

# The build stage: the image that runs has none of the build tools.
FROM ${BASE_IMAGE} AS build
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
# Most of what is left is Prisma for other databases, and files that only an editor or a debugger reads.
RUN find node_modules/@prisma/client/runtime \
    -regex '.*\.\(cockroachdb\|mysql\|sqlite\|sqlserver\)\..*' -delete \
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete

FROM ${BASE_IMAGE} AS program
WORKDIR /mintmark
ENV HOST=0.0.0.0 PORT=8080
COPY --from=build /mintmark/package.json ./
COPY --from=build /mintmark/node_modules node_modules
COPY --from=build /mintmark/src/generated src/generated
COPY prisma prisma
COPY src src
COPY bin/healthy.js bin/
# A place for a volume, so that a command can write new secrets to it. The service itself writes nowhere.
RUN mkdir -m 0700 /var/lib/mintmark && chown node:node /var/lib/mintmark

# Compiled code halves the time of a start. V8 accepts it from the same Node with the same flags, and Node looks for it
# under the number of the user. Others compile the program themselves.
FROM program AS compiled
USER node
ENV NODE_COMPILE_CACHE=/tmp/compiled
RUN node --disable-warning=ExperimentalWarning --disable-sigusr1 --max-semi-space-size=12 --heap-growing-percent=50 \
    --input-type=module --eval "import '/mintmark/src/cli/main.ts'; import { allCommands } from '/mintmark/src/cli/command-list.ts'; await allCommands(); import '/mintmark/src/app.ts'" \
  && chmod -R a+rX /tmp/compiled

FROM program
COPY --from=compiled /tmp/compiled compiled
ENV NODE_COMPILE_CACHE=/mintmark/compiled
# The service does not run as root, and its user owns no file of the program.
USER node
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=2s --start-period=15s --retries=3 CMD ["node", "bin/healthy.js"]
# Write a command of bin/mintmark after the name of the image: serve, migrate, seed FILE, clients list …
ENTRYPOINT ["node", "--disable-warning=ExperimentalWarning", "--disable-sigusr1", "--max-semi-space-size=12", "--heap-growing-percent=50", "src/cli/main.ts"]
CMD ["serve"]
