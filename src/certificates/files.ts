import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileProblem } from '../lib/bounded-file.ts'
import { makeDirectory } from '../lib/directory.ts'
import { createPrivateFile, replacePrivateFile, synchronizeDirectory } from '../lib/private-file.ts'
import { readSecretFile, SecretFileProblem } from '../lib/secret-file.ts'
import { CertificateProblem } from './problem.ts'

/**
 * The files of a CA, in its directory:
 *
 *     ca.crt  ca.key  ca.crl  ca.json      its certificate, its key, what it revoked, and its record
 *     NAME/tls.crt  NAME/tls.key  NAME/ca.crt
 *
 * The three files of a name are symbolic links through `..data` to a directory of one issuance, as Kubernetes lays out a
 * mounted Secret. One rename of `..data` replaces all of them at the same moment. So nobody can see the certificate of one
 * issuance beside the key of another, and what follows such a mount follows these files too.
 */
export const authorityFiles = {
  certificate: 'ca.crt',
  key: 'ca.key',
  list: 'ca.crl',
  record: 'ca.json',
} as const
export const pairFiles = { certificate: 'tls.crt', key: 'tls.key', authority: 'ca.crt' } as const

const readableByAll = 0o644
const enterableByAll = 0o755
const ownerOnly = 0o600
const dataLink = '..data'

/** Creates a file or a directory of files with a message that names it. */
function working<Result>(path: string, work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    if (error instanceof CertificateProblem) throw error
    throw new CertificateProblem('file_failed', { path, problem: fileProblem(error) }, { cause: error })
  }
}

export interface AuthorityTexts {
  readonly certificate: string
  readonly key: string
  readonly list: string
  readonly record: string
}

/** Creates the directory of a CA with everything in it, or nothing. It may exist if it is empty. */
export function createAuthorityFiles(directory: string, texts: AuthorityTexts, suffix: string): void {
  const temporary = `${directory}.${suffix}`
  working(directory, () => {
    makeDirectory(dirname(directory))
    mkdirSync(temporary, { mode: enterableByAll })
    try {
      for (const [kind, name] of Object.entries(authorityFiles)) {
        const isPublic = kind === 'certificate' || kind === 'list'
        const text = texts[kind as keyof AuthorityTexts]
        createPrivateFile(join(temporary, name), text, isPublic ? readableByAll : ownerOnly)
      }
      renameSync(temporary, directory)
    } catch (error) {
      rmSync(temporary, { recursive: true, force: true })
      if (!['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? ''))
        throw error
      const isAuthority = existsSync(join(directory, authorityFiles.certificate))
      throw new CertificateProblem(isAuthority ? 'authority_exists' : 'directory_taken', { directory })
    }
    synchronizeDirectory(dirname(directory))
  })
}

/** @throws CertificateProblem if there is no CA, or a file of it cannot be read. */
export function readAuthorityFile(directory: string, kind: keyof typeof authorityFiles): string {
  const path = join(directory, authorityFiles[kind])
  try {
    return kind === 'key' ? readSecretFile(path, { ownerOnly: true }) : readFileSync(path, 'utf8')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && !existsSync(join(directory, authorityFiles.certificate)))
      throw new CertificateProblem('authority_missing', { directory }, { cause: error })
    const problem = error instanceof SecretFileProblem ? message : (code ?? message)
    throw new CertificateProblem('authority_damaged', { path, problem }, { cause: error })
  }
}

export function replaceAuthorityFile(directory: string, kind: 'list' | 'record', text: string): void {
  const path = join(directory, authorityFiles[kind])
  working(path, () => replacePrivateFile(path, text, kind === 'list' ? readableByAll : ownerOnly))
}

export interface PairTexts {
  readonly certificate: string
  /** Undefined: the key is kept elsewhere. */
  readonly key: string | undefined
  readonly authority: string
}

/** @returns undefined for a file that is not there. */
export function readPairFile(
  directory: string,
  name: string,
  kind: keyof typeof pairFiles,
): string | undefined {
  const path = join(directory, name, pairFiles[kind])
  if (!existsSync(path)) return undefined
  return working(path, () => readFileSync(path, 'utf8'))
}

/** Creates or replaces the files of a name, all at the same moment. */
export function replacePair(directory: string, name: string, issuance: string, texts: PairTexts): void {
  const home = join(directory, name)
  working(home, () => {
    if (existsSync(home)) swapPair(home, issuance, texts)
    else createPair(home, issuance, texts)
  })
}

function createPair(home: string, issuance: string, texts: PairTexts): void {
  const temporary = `${home}.${issuance}`
  mkdirSync(temporary, { mode: enterableByAll })
  try {
    writeIssuance(temporary, issuance, texts)
    symlinkSync(`..${issuance}`, join(temporary, dataLink))
    linkFiles(temporary, texts)
    renameSync(temporary, home)
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true })
    throw error
  }
  synchronizeDirectory(dirname(home))
}

/** The issuance before stays until the next one: somebody may have opened it and not read it yet. */
function swapPair(home: string, issuance: string, texts: PairTexts): void {
  const before = readlinkSync(join(home, dataLink))
  writeIssuance(home, issuance, texts)
  const next = join(home, `..next-${issuance}`)
  symlinkSync(`..${issuance}`, next)
  renameSync(next, join(home, dataLink))
  linkFiles(home, texts)
  synchronizeDirectory(home)
  const kept = [`..${issuance}`, before, dataLink]
  for (const entry of readdirSync(home)) {
    if (entry.startsWith('..') && !kept.includes(entry))
      rmSync(join(home, entry), { recursive: true, force: true })
  }
}

function writeIssuance(home: string, issuance: string, { certificate, key, authority }: PairTexts): void {
  const directory = join(home, `..${issuance}`)
  mkdirSync(directory, { mode: enterableByAll })
  if (key !== undefined) createPrivateFile(join(directory, pairFiles.key), key)
  createPrivateFile(join(directory, pairFiles.certificate), certificate, readableByAll)
  createPrivateFile(join(directory, pairFiles.authority), authority, readableByAll)
}

function linkFiles(home: string, { key }: PairTexts): void {
  for (const [kind, name] of Object.entries(pairFiles)) {
    const path = join(home, name)
    if (kind === 'key' && key === undefined) rmSync(path, { force: true })
    else if (!existsSync(path)) symlinkSync(join(dataLink, name), path)
  }
}

const lockWaitMilliseconds = 50
const lockAttempts = 200

/** Commands that change a CA come one after the other. */
export async function whileLocked<Result>(directory: string, work: () => Promise<Result>): Promise<Result> {
  const path = join(directory, 'lock')
  let goneBefore: string | undefined
  for (let attempt = 1; !takeLock(path); attempt += 1) {
    const processId = holderOf(path)
    // It may just have ended in order: then its lock is gone at the next attempt.
    const isLeft = processId !== undefined && processId === goneBefore
    if (attempt === lockAttempts || isLeft)
      throw new CertificateProblem('authority_busy', { path, processId })
    goneBefore = processId !== undefined && isGone(Number(processId)) ? processId : undefined
    await setTimeout(lockWaitMilliseconds)
  }
  try {
    return await work()
  } finally {
    rmSync(path, { force: true })
  }
}

function takeLock(path: string): boolean {
  try {
    createPrivateFile(path, `${process.pid}\n`)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    if (code === 'ENOENT') throw new CertificateProblem('authority_missing', { directory: dirname(path) })
    throw new CertificateProblem('file_failed', { path, problem: fileProblem(error) }, { cause: error })
  }
}

function holderOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return undefined
  }
}

function isGone(processId: number): boolean {
  try {
    process.kill(processId, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
