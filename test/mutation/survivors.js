/** Mutations that no test can notice, and why. Long because each of them is named. */

/**
 * @typedef {object} Survivor
 * @property {string} file
 * @property {string} line The first line of what is mutated, as it is written.
 * @property {string} code What is mutated in it.
 * @property {readonly string[]} mutations What may stand in its place, each for itself.
 * @property {string} reason
 */

const columnList = `.map(([field, column]) => \`r.\${column}\${column === 'jti' ? '::text' : ''} AS "\${field}"\`)`

/**
 * Mutations that no test can notice, because what the service does stays the same.
 * @type {readonly Survivor[]}
 */
export const survivors = [
  // ── The form of a request ──────────────────────────────────────────────────────────────────────────
  {
    file: 'src/token/form.ts',
    line: 'values: [undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined],',
    code: '[undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined]',
    mutations: ['[]'],
    reason: 'A place that is not there reads as undefined as well. It is written out because that is faster.',
  },
  {
    file: 'src/token/form.ts',
    line: 'for (let start = 0; start < text.length; ) {',
    code: 'start < text.length',
    mutations: ['start <= text.length'],
    reason: 'At the end of the text there is an empty parameter, which is skipped.',
  },
  {
    file: 'src/token/form.ts',
    line: 'if (end > start) readParameter(form, body, text, start, end)',
    code: 'end > start',
    mutations: ['true', 'end >= start'],
    reason: 'A parameter without a name is an unknown one, and those are ignored.',
  },
  {
    file: 'src/token/form.ts',
    line: 'const nameEnd = equals === -1 || equals > end ? end : equals',
    code: 'equals > end',
    mutations: ['equals >= end'],
    reason: 'At the end of a parameter there is an ampersand or nothing, and no equals sign.',
  },
  {
    file: 'src/token/form.ts',
    line: "if (value !== written && hasControlCharacter(value)) form.refusal ??= 'character_forbidden'",
    code: 'value !== written',
    mutations: ['true'],
    reason:
      'A control character that was not escaped has made the body malformed already, which is told first.',
  },
  {
    file: 'src/token/request.ts',
    line: 'if (value.length < secretTextCharactersMin) return value',
    code: 'value.length < secretTextCharactersMin',
    mutations: ['false'],
    reason: 'Nothing is found in so short a value. It is left out because that is faster.',
  },
  {
    file: 'src/token/request.ts',
    line: 'return tokens.length === 1 ? tokens : [...new Set(tokens)]',
    code: 'tokens.length === 1',
    mutations: ['false'],
    reason: 'One token is a set as it is. It is left out because that is faster.',
  },
  // ── How a caller proves itself ─────────────────────────────────────────────────────────────────────
  {
    file: 'src/authentication/authorization.ts',
    line: "found = readCredentials(rawHeaders[index + 1] ?? '')",
    code: "''",
    mutations: ['"Stryker was here!"'],
    reason: 'Node gives names and values in pairs. It is there for the types.',
  },
  {
    file: 'src/authentication/authorization.ts',
    line: 'for (let index = 0; index < rawHeaders.length; index += 2) {',
    code: 'index < rawHeaders.length',
    mutations: ['index <= rawHeaders.length'],
    reason: 'Behind the last name there is nothing, which is no name that is looked for.',
  },
  {
    file: 'src/authentication/authorization.ts',
    line: "if (name?.length !== 13 || name.toLowerCase() !== 'authorization') continue",
    code: 'name?.length !== 13',
    mutations: ['false'],
    reason: 'No other name than this one has these letters. The length is compared because that is faster.',
  },
  {
    file: 'src/authentication/authorization.ts',
    line: "if (name?.length !== 13 || name.toLowerCase() !== 'authorization') continue",
    code: 'name?.length',
    mutations: ['name.length'],
    reason: 'Node gives names and values in pairs. It is there for the types.',
  },
  {
    file: 'src/authentication/authorization.ts',
    line: "const colon = bytes === undefined ? -1 : bytes.indexOf(':')",
    code: '-1',
    mutations: ['+1'],
    reason: 'Without bytes the answer is the same, wherever a colon would be.',
  },
  {
    file: 'src/authentication/authorization.ts',
    line: 'if (bytes === undefined || colon < 1) return malformedBasic',
    code: 'bytes === undefined',
    mutations: ['false'],
    reason: 'Without bytes there is no colon either. It is there for the types.',
  },
  {
    file: 'src/authentication/authorization.ts',
    line: 'if (!notAscii.test(text)) return formDecoded(text)',
    code: '!notAscii.test(text)',
    mutations: ['false'],
    reason: 'ASCII is UTF-8. It is left out because that is faster.',
  },
  {
    file: 'src/authentication/authorization.ts',
    line: '} catch {',
    code: `{
    return undefined
  }`,
    mutations: ['{}'],
    reason: 'A function that ends without saying anything gives undefined.',
  },
  {
    file: 'src/authentication/client-secret.ts',
    line: 'if (client === undefined || registered === undefined) {',
    code: 'client === undefined',
    mutations: ['false'],
    reason: 'Without a client there is no secret of it either. It is there for the types.',
  },
  {
    file: 'src/authentication/client-secret.ts',
    line: "return expiresAt !== undefined && expiresAt <= now ? 'secret_expired' : undefined",
    code: 'expiresAt !== undefined',
    mutations: ['true'],
    reason: 'undefined is not less than a number. It is there for the types.',
  },
  {
    file: 'src/authentication/private-key-jwt.ts',
    line: 'if (isSignedBy(assertion, key) && key !== undefined) return { ...credentials, keyId: key.thumbprint }',
    code: 'key !== undefined',
    mutations: ['true'],
    reason: 'Without a key nothing is signed by it. It is there for the types.',
  },
  {
    file: 'src/authentication/private-key-jwt.ts',
    line: 'if (isRight && key !== undefined) return { ...credentials, keyId: key.thumbprint }',
    code: 'key !== undefined',
    mutations: ['true'],
    reason: 'Without a key nothing is signed by it. It is there for the types.',
  },
  {
    file: 'src/authentication/private-key-jwt.ts',
    line: 'if (jwksUri === undefined || published === undefined) return undefined',
    code: 'jwksUri === undefined',
    mutations: ['false'],
    reason: 'Without an address nothing was asked for. It is there for the types.',
  },
  {
    file: 'src/authentication/private-key-jwt.ts',
    line: 'const never = { expiresAt: undefined, revokedAt: undefined }',
    code: '{ expiresAt: undefined, revokedAt: undefined }',
    mutations: ['{}'],
    reason: 'What is missing is undefined. It is there for the types.',
  },
  {
    file: 'src/authentication/private-key-jwt.ts',
    line: 'if (found === undefined || !isSignedBy(credentials.assertion, found)) return undefined',
    code: 'found === undefined',
    mutations: ['false'],
    reason: 'Without a key nothing is signed by it. It is there for the types.',
  },
  // ── The decision ───────────────────────────────────────────────────────────────────────────────────
  {
    file: 'src/token/decide.ts',
    line: 'if (client === undefined || client.access.size === 0)',
    code: 'client === undefined',
    mutations: ['false'],
    reason: 'Whoever is unknown was refused before. It is there for the types.',
  },
  // ── Records ────────────────────────────────────────────────────────────────────────────────────────
  {
    file: 'src/ledger/chain.ts',
    line: "if (field === 'detail') return record.detail === undefined ? null : JSON.stringify(record.detail)",
    code: 'record.detail === undefined',
    mutations: ['false'],
    reason: 'The JSON of undefined is undefined, and in an array that is null.',
  },
  {
    file: 'src/ledger/record.ts',
    line: 'const safe = plainText(text.length > charactersMax ? text.slice(0, charactersMax) : text)',
    code: 'text.length > charactersMax',
    mutations: ['true', 'text.length >= charactersMax'],
    reason: 'A text that fits is cut to itself.',
  },
  {
    file: 'src/ledger/refusals.ts',
    line: "const [groupKey, first] = fits ? [key, record] : ['', anonymous(record)]",
    code: "''",
    mutations: ['"Stryker was here!"'],
    reason: 'Any name will do that is no reason and address.',
  },
  {
    file: 'src/ledger/refusals.ts',
    line: 'if (record.time < group.first.time) group.first = first',
    code: 'record.time < group.first.time',
    mutations: ['record.time <= group.first.time'],
    reason: 'Of two at the same moment either may be the first.',
  },
  // ── Keys ───────────────────────────────────────────────────────────────────────────────────────────
  {
    file: 'src/keys/schedule.ts',
    line: 'const left = keys.filter((key) => key !== revoked && key.revokedAt === undefined)',
    code: 'key.revokedAt === undefined',
    mutations: ['true'],
    reason: 'Whatever looks at those that are left passes over revoked keys by itself.',
  },
  {
    file: 'src/keys/schedule.ts',
    line: 'if (!wasNeeded || (!signed && until !== undefined && until >= horizon)) return undefined',
    code: 'until !== undefined',
    mutations: ['true'],
    reason: 'undefined is not more than a number. It is there for the types.',
  },
  {
    file: 'src/keys/state.ts',
    line: 'if (maySign(key, settings, now) && (latest === undefined || key.generation > latest.generation))',
    code: 'key.generation > latest.generation',
    mutations: ['key.generation >= latest.generation'],
    reason: 'No two keys of an algorithm have the same generation; the database sees to it.',
  },
  {
    file: 'src/keys/state.ts',
    line: 'if (key.revokedAt === undefined && (latest === undefined || key.generation > latest.generation))',
    code: 'key.generation > latest.generation',
    mutations: ['key.generation >= latest.generation'],
    reason: 'No two keys of an algorithm have the same generation; the database sees to it.',
  },
  {
    file: 'src/keys/state.ts',
    line: 'if (revokedAt !== undefined && revokedAt <= key.signsFrom) return undefined',
    code: 'revokedAt !== undefined',
    mutations: ['true'],
    reason: 'undefined is not less than a number. It is there for the types.',
  },
  // ── The commit ─────────────────────────────────────────────────────────────────────────────────────
  {
    file: 'src/ledger/chain-store.ts',
    line: "if (opened === undefined) throw new Error('the database opened no chain')",
    code: 'opened === undefined',
    mutations: ['false'],
    reason: 'What was inserted comes back. It is there for the types.',
  },
  {
    file: 'src/ledger/chain-store.ts',
    line: "if (opened === undefined) throw new Error('the database opened no chain')",
    code: "'the database opened no chain'",
    mutations: ['""'],
    reason: 'What was inserted comes back. It is there for the types.',
  },
  {
    file: 'src/ledger/commit.ts',
    line: '#underWay: readonly Waiting[] = []',
    code: '[]',
    mutations: ['["Stryker was here"]'],
    reason: 'A text has no deadline, and is passed over.',
  },
  {
    file: 'src/ledger/commit.ts',
    line: 'this.#underWay = []',
    code: '[]',
    mutations: ['["Stryker was here"]'],
    reason: 'A text has no deadline, and is passed over.',
  },
  {
    file: 'src/ledger/commit.ts',
    line: 'this.#queue.unshift(...batch.filter((waiting) => waiting.version === undefined && !waiting.settled))',
    code: 'batch.filter((waiting) => waiting.version === undefined && !waiting.settled)',
    mutations: ['batch'],
    reason: 'The others are settled, and are left out when the next batch is made.',
  },
  {
    file: 'src/ledger/commit.ts',
    line: 'this.#queue.unshift(...batch.filter((waiting) => waiting.version === undefined && !waiting.settled))',
    code: 'waiting.version === undefined && !waiting.settled',
    mutations: ['true', 'waiting.version === undefined || !waiting.settled'],
    reason: 'The others are settled, and are left out when the next batch is made.',
  },
  {
    file: 'src/ledger/commit.ts',
    line: 'this.#queue.unshift(...batch.filter((waiting) => waiting.version === undefined && !waiting.settled))',
    code: 'waiting.version === undefined',
    mutations: ['true'],
    reason: 'The others are settled, and are left out when the next batch is made.',
  },
  {
    file: 'src/ledger/commit.ts',
    line: 'if (this.#queue.length === 0 && this.#running === undefined) {',
    code: 'this.#queue.length === 0',
    mutations: ['true'],
    reason: 'While somebody is in the queue it is running.',
  },
  {
    file: 'src/ledger/commit.ts',
    line: 'if (waiting.settled) return',
    code: 'waiting.settled',
    mutations: ['false'],
    reason: 'A promise is settled once, whatever is said to it later.',
  },
  {
    file: 'src/ledger/commit.ts',
    line: 'waiting.settled = true',
    code: 'true',
    mutations: ['false'],
    reason: 'Whoever was answered at the end of a batch is in no other, and a promise is settled once.',
  },
  // ── The registry in memory ─────────────────────────────────────────────────────────────────────────
  {
    file: 'src/registry/registry.ts',
    line: 'const waiting = clientIds.flatMap((clientId) => this.#wanted.get(clientId) ?? [])',
    code: '[]',
    mutations: ['["Stryker was here"]'],
    reason: 'These are the names that somebody waits for. It is there for the types.',
  },
  {
    file: 'src/registry/registry.ts',
    line: 'if (audience === undefined || !client.access.has(audience)) {',
    code: 'audience === undefined',
    mutations: ['false'],
    reason: 'Nobody has access to undefined. It is there for the types.',
  },
  {
    file: 'src/registry/registry.ts',
    line: 'this.#unknown.delete(client.clientId)',
    code: 'this.#unknown.delete(client.clientId)',
    mutations: [';'],
    reason:
      'Whoever was registered since is forgotten as unknown with the change itself, which comes before.',
  },
  {
    file: 'src/registry/registry.ts',
    line: "else if (subject === 'client') {",
    code: "subject === 'client'",
    mutations: ['true'],
    reason: 'The id of a key is no client. To forget what did not change costs a read and nothing else.',
  },
  {
    file: 'src/registry/registry.ts',
    line: 'this.#resources.clear()',
    code: 'this.#resources.clear()',
    mutations: [';'],
    reason: 'Clients are forgotten as well, and one that is read again brings all its resources.',
  },
  // ── What is read back ──────────────────────────────────────────────────────────────────────────────
  {
    file: 'src/registry/store.ts',
    line: "if (row === undefined) throw new Error('the registry has no version row')",
    code: 'row === undefined',
    mutations: ['false'],
    reason: 'A statement of values alone always has a row. It is there for the types.',
  },
  {
    file: 'src/registry/store.ts',
    line: "if (row === undefined) throw new Error('the registry has no version row')",
    code: "'the registry has no version row'",
    mutations: ['""'],
    reason: 'A statement of values alone always has a row. It is there for the types.',
  },
  {
    file: 'src/ledger/follow.ts',
    line: '(first, second) => first.time - second.time || first.chain - second.chain || first.seq - second.seq,',
    code: 'first.chain - second.chain',
    mutations: ['first.chain + second.chain'],
    reason: 'They come from the database in this order, and sorting by time keeps it.',
  },
  {
    file: 'src/ledger/follow.ts',
    line: '(first, second) => first.time - second.time || first.chain - second.chain || first.seq - second.seq,',
    code: 'first.seq - second.seq',
    mutations: ['first.seq + second.seq'],
    reason: 'They come from the database in this order, and sorting by time keeps it.',
  },
  {
    file: 'src/ledger/follow.ts',
    line: 'chains.filter((chain) => chain > this.#highest),',
    code: 'chain > this.#highest',
    mutations: ['chain >= this.#highest'],
    reason: 'The highest was found before, and only higher ones and gaps are looked for.',
  },
  {
    file: 'src/ledger/follow.ts',
    line: 'if (chain === undefined) continue',
    code: 'chain === undefined',
    mutations: ['false'],
    reason: 'Only records of chains that are followed are read. It is there for the types.',
  },
  {
    file: 'src/ledger/follow.ts',
    line: "if (entry.type === 'service' && entry.outcome === 'stopped') this.#open.delete(entry.chain)",
    code: "entry.type === 'service'",
    mutations: ['true'],
    reason: 'Nothing but a service stops.',
  },
  {
    file: 'src/ledger/follow.ts',
    line: 'if (isService === false && seq > 0) this.#open.delete(number)',
    code: 'seq > 0',
    mutations: ['true', 'seq >= 0'],
    reason: 'What a chain is, is known from one of its records.',
  },
  {
    file: 'src/ledger/record-store.ts',
    line: 'if (filter.since !== undefined && start <= filter.since) break',
    code: 'filter.since !== undefined',
    mutations: ['true'],
    reason: 'No number is less than undefined. It is there for the types.',
  },
  {
    file: 'src/ledger/record-store.ts',
    line: '...(type === undefined ? {} : { type }),',
    code: 'type === undefined',
    mutations: ['false'],
    reason: 'Prisma leaves out what is undefined. It is there for the types.',
  },
  {
    file: 'src/ledger/record-store.ts',
    line: '...(outcome === undefined ? {} : { outcome }),',
    code: 'outcome === undefined',
    mutations: ['false'],
    reason: 'Prisma leaves out what is undefined. It is there for the types.',
  },
  {
    file: 'src/ledger/record-store.ts',
    line: '...(clientId === undefined ? {} : { clientId }),',
    code: 'clientId === undefined',
    mutations: ['false'],
    reason: 'Prisma leaves out what is undefined. It is there for the types.',
  },
  {
    file: 'src/ledger/record-store.ts',
    line: '...(jti === undefined ? {} : { jti }),',
    code: 'jti === undefined',
    mutations: ['false'],
    reason: 'Prisma leaves out what is undefined. It is there for the types.',
  },
  {
    file: 'src/ledger/record-store.ts',
    line: columnList,
    code: "column === 'jti'",
    mutations: ['false'],
    reason: 'The driver of today gives a UUID as text by itself.',
  },
  {
    file: 'src/ledger/record-store.ts',
    line: columnList,
    code: "'jti'",
    mutations: ['""'],
    reason: 'The driver of today gives a UUID as text by itself.',
  },
  {
    file: 'src/ledger/record-store.ts',
    line: columnList,
    code: "'::text'",
    mutations: ['""'],
    reason: 'The driver of today gives a UUID as text by itself.',
  },
]
