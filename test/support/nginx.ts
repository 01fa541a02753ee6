import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FrontProxy, untilItAnswers } from './front-proxy.ts'
import { freePort } from './ports.ts'

/** The version of the nginx of this machine; undefined if there is none. */
export function nginxVersion(): string | undefined {
  const { status, stderr } = spawnSync('nginx', ['-v'], { encoding: 'utf8' })
  return status === 0 ? /nginx\/(\S+)/.exec(stderr)?.[1] : undefined
}

/** nginx with JavaScript, which Debian has as a package of its own. */
const njsModule = '/usr/lib/nginx/modules/ngx_http_js_module.so'
export const hasNjs = existsSync(njsModule)

/**
 * A real nginx.
 * @param configure what is in the `http` block, with this port. `directory` has the files.
 */
export async function openNginx(
  files: Readonly<Record<string, string>>,
  configure: (port: number, directory: string) => string,
): Promise<FrontProxy> {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-nginx-'))
  const port = await freePort()
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  writeFileSync(
    join(directory, 'nginx.conf'),
    `${hasNjs ? `load_module ${njsModule};\n` : ''}daemon off;
master_process off;
pid ${directory}/pid;
error_log stderr;
events {}
http {
access_log off;
${temporary.map((name) => `${name}_temp_path ${directory}/${name};`).join('\n')}
${configure(port, directory)}
}
`,
  )
  const child = spawn('nginx', ['-p', directory, '-c', join(directory, 'nginx.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  return await untilItAnswers('nginx', child, directory, port)
}
