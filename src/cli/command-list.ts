import { auditList } from './commands/audit.ts'
import { auditCompare } from './commands/audit-compare.ts'
import { auditExport } from './commands/audit-export.ts'
import { auditVerify } from './commands/audit-verify.ts'
import { caInit } from './commands/ca-init.ts'
import { caIssue } from './commands/ca-issue.ts'
import { caRenew } from './commands/ca-renew.ts'
import { caRevoke } from './commands/ca-revoke.ts'
import { caShow } from './commands/ca-show.ts'
import { clientsDelete, clientsDisable, clientsEnable, clientsShow } from './commands/clients.ts'
import { clientsAccessGrant, clientsAccessRemove } from './commands/clients-access.ts'
import { clientsCreate } from './commands/clients-create.ts'
import { clientsKeysAdd, clientsKeysList, clientsKeysRevoke } from './commands/clients-keys.ts'
import { clientsList } from './commands/clients-list.ts'
import { clientsUpdate } from './commands/clients-update.ts'
import { keysAbandon } from './commands/keys-abandon.ts'
import { keysExport } from './commands/keys-export.ts'
import { keysList } from './commands/keys-list.ts'
import { keysRevoke } from './commands/keys-revoke.ts'
import { keysRewrap } from './commands/keys-rewrap.ts'
import { keysRotate } from './commands/keys-rotate.ts'
import { migrate } from './commands/migrate.ts'
import { proxyCheck } from './commands/proxy-check.ts'
import { registrySeal } from './commands/registry-seal.ts'
import { resourcesList } from './commands/resources.ts'
import { resourcesCreate, resourcesDelete, resourcesUpdate } from './commands/resources-change.ts'
import { secretsAdd, secretsList } from './commands/secrets.ts'
import { secretsRevoke } from './commands/secrets-revoke.ts'
import { secretsRotate } from './commands/secrets-rotate.ts'
import { seed } from './commands/seed.ts'
import { serve } from './commands/serve.ts'
import { start } from './commands/start.ts'
import { token } from './commands/token.ts'
import { trustDisable, trustEnable, trustList, trustRemove } from './commands/trust.ts'
import { trustAdd } from './commands/trust-add.ts'
import { trustDocument } from './commands/trust-document.ts'
import { trustTest } from './commands/trust-test.ts'
import { trustBlock, trustUnblock, trustWorkloads } from './commands/trust-workloads.ts'
import type { Command } from './terminal/command.ts'
import type { CommandGroup } from './terminal/help.ts'

/** Every command, in the order of the help. A command that is not in this list cannot be called. */
export const commands: readonly Command[] = [
  start,
  serve,
  migrate,
  seed,
  clientsList,
  clientsShow,
  clientsCreate,
  clientsUpdate,
  clientsDisable,
  clientsEnable,
  clientsDelete,
  clientsAccessGrant,
  clientsAccessRemove,
  secretsAdd,
  secretsRotate,
  secretsList,
  secretsRevoke,
  clientsKeysAdd,
  clientsKeysList,
  clientsKeysRevoke,
  resourcesList,
  resourcesCreate,
  resourcesUpdate,
  resourcesDelete,
  trustList,
  trustAdd,
  trustTest,
  trustDocument,
  trustRemove,
  trustDisable,
  trustEnable,
  trustWorkloads,
  trustBlock,
  trustUnblock,
  registrySeal,
  keysList,
  keysExport,
  keysRotate,
  keysRevoke,
  keysRewrap,
  keysAbandon,
  auditList,
  auditCompare,
  auditExport,
  auditVerify,
  caInit,
  caIssue,
  caRenew,
  caRevoke,
  caShow,
  proxyCheck,
  token,
]

/** Words that several commands begin with. */
export const groups: readonly CommandGroup[] = [
  { path: ['clients'], summary: 'machines that may ask for tokens, and their secrets' },
  {
    path: ['clients', 'secrets'],
    summary: "clients' secrets: several are valid at once, so that one can be replaced without a gap",
  },
  {
    path: ['clients', 'keys'],
    summary: "clients' public keys, which verify their assertions: several are valid at once",
  },
  { path: ['clients', 'access'], summary: 'which resources a client may call, and with which scopes' },
  { path: ['resources'], summary: 'what tokens are for' },
  { path: ['trust'], summary: 'other issuers whose assertions are accepted, and what their workloads get' },
  { path: ['registry'], summary: 'all of it: clients, secrets, access, resources and trusted issuers' },
  {
    path: ['keys'],
    summary: 'the keys that sign tokens',
    examples: [
      [
        'bin/mintmark keys rotate --plan',
        'when the next key could sign, and who has not fetched it; does nothing',
      ],
      ['bin/mintmark keys rotate --now', 'the next key signs at once; says what that breaks'],
    ],
  },
  { path: ['audit'], summary: 'the ledger: what was issued, refused and changed' },
  { path: ['ca'], summary: 'a CA for development and tests: certificates for TLS, as files' },
  { path: ['proxy'], summary: 'the proxy in front, where it passes on the certificates of its callers' },
]
