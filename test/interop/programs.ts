import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The programs that are run against the service: each is the first example of a library's own documentation, with URL,
 * id, secret and audience filled in. `needs` says what else had to be said.
 */
export type Toolchain = 'curl' | 'node' | 'python' | 'go' | 'java' | 'rust'

export interface Program {
  readonly toolchain: Toolchain
  /** What it is called in the tables, and the packages that it is about. */
  readonly name: string
  readonly packages: readonly string[]
  /** The file with its example. */
  readonly file: string
  /** What names the program to its toolchain, if it is not the file. */
  readonly command?: string
  /** What differs from the first example; undefined: nothing. */
  readonly needs?: string
}

export interface Verifier extends Program {
  /** The resource whose tokens it gets; `orders` has the defaults. */
  readonly resource?: 'orders' | 'legacy' | 'rsa'
}

const node = (name: string, packages: readonly string[], file: string, needs?: string): Program => ({
  toolchain: 'node',
  name,
  packages,
  file: `node/${file}.mjs`,
  ...(needs === undefined ? {} : { needs }),
})
const python = (name: string, packages: readonly string[], file: string, needs?: string): Program => ({
  toolchain: 'python',
  name,
  packages,
  file: `python/${file}.py`,
  ...(needs === undefined ? {} : { needs }),
})
const compiled =
  (toolchain: 'go' | 'java' | 'rust', folder: string) =>
  (name: string, packages: readonly string[], file: string, command: string, needs?: string): Program => ({
    toolchain,
    name,
    packages,
    file: `${folder}/${file}`,
    command,
    ...(needs === undefined ? {} : { needs }),
  })
const go = compiled('go', 'go')
const java = compiled('java', 'java/src/main/java')
const rust = compiled('rust', 'rust/src')

export const callers: readonly Program[] = [
  { toolchain: 'curl', name: 'curl', packages: [], file: 'curl/token.sh' },
  node('openid-client', ['openid-client'], 'openid-client'),
  node('oauth4webapi', ['oauth4webapi'], 'oauth4webapi'),
  node('simple-oauth2', ['simple-oauth2'], 'simple-oauth2', '`tokenPath: "/token"`'),
  node('axios', ['axios'], 'axios', '`URLSearchParams`: a plain object is sent as JSON'),
  node('axios-oauth-client', ['axios-oauth-client'], 'axios-oauth-client'),
  node('@badgateway/oauth2-client', ['@badgateway/oauth2-client'], 'badgateway'),
  node('client-oauth2', ['client-oauth2'], 'client-oauth2'),
  node('undici', ['undici'], 'undici'),
  node('Model Context Protocol SDK', ['@modelcontextprotocol/sdk'], 'mcp'),
  python('requests', ['requests'], 'requests_', '`data=`, not `json=`'),
  python('requests-oauthlib', ['requests-oauthlib'], 'requests_oauthlib_'),
  python('Authlib (requests)', ['Authlib'], 'authlib_requests'),
  python('httpx-auth', ['httpx-auth'], 'httpx_auth_'),
  python('requests_oauth2client', ['requests_oauth2client'], 'requests_oauth2client_'),
  python('Model Context Protocol SDK', ['mcp'], 'mcp_'),
  go('golang.org/x/oauth2/clientcredentials', ['golang.org/x/oauth2'], 'oauth2.go', 'oauth2'),
  java(
    'Spring Security OAuth2 client (Boot)',
    ['spring-boot-dependencies'],
    'SpringClient.java',
    'SpringClient',
  ),
  java('Nimbus oauth2-oidc-sdk', ['oauth2-oidc-sdk'], 'NimbusClient.java', 'NimbusClient'),
  rust('oauth2', ['oauth2'], 'oauth2_client.rs', 'oauth2'),
]

/** A caller that signs an assertion and has no secret (private_key_jwt). */
export const signers: readonly Program[] = [
  {
    toolchain: 'curl',
    name: 'curl + openssl',
    packages: [],
    file: 'curl/assertion.sh',
    needs: 'an RSA key with `alg: RS256`',
  },
  node('openid-client', ['openid-client'], 'openid-client-jwt'),
  node('Model Context Protocol SDK', ['@modelcontextprotocol/sdk'], 'mcp-jwt'),
  python('PyJWT', ['PyJWT[crypto]', 'requests'], 'pyjwt_assertion'),
  python(
    'Authlib (requests)',
    ['Authlib'],
    'authlib_jwt',
    '`aud`, `exp` and `jti` in `claims`, because it names the token endpoint, for an hour; an `ECKey` of joserfc',
  ),
  java('Nimbus oauth2-oidc-sdk', ['oauth2-oidc-sdk'], 'NimbusAssertion.java', 'NimbusAssertion'),
]

/** A caller whose tokens are bound to a key of its own (DPoP). The service asks for nonces. */
export const bound: readonly Program[] = [
  node('openid-client', ['openid-client'], 'openid-client-dpop'),
  python('requests_oauth2client', ['requests_oauth2client'], 'requests_oauth2client_dpop'),
  java(
    'Nimbus oauth2-oidc-sdk',
    ['oauth2-oidc-sdk'],
    'NimbusDPoP.java',
    'NimbusDPoP',
    'a second attempt with the nonce',
  ),
]

const typed = 'the header’s `typ` is checked by hand'

export const verifiers: readonly Verifier[] = [
  node('jose', ['jose'], 'jose'),
  node('jsonwebtoken + jwks-rsa', ['jsonwebtoken', 'jwks-rsa'], 'jsonwebtoken', '`algorithms: ["ES256"]`'),
  node('express-jwt + jwks-rsa', ['express-jwt', 'jwks-rsa'], 'express-jwt', '`algorithms: ["ES256"]`'),
  node('koa-jwt + jwks-rsa', ['koa-jwt', 'jwks-rsa'], 'koa-jwt', '`algorithms: ["ES256"]`'),
  node('express-oauth2-jwt-bearer', ['express-oauth2-jwt-bearer'], 'express-oauth2-jwt-bearer'),
  node('passport-jwt + jwks-rsa', ['passport-jwt', 'jwks-rsa'], 'passport-jwt', '`algorithms: ["ES256"]`'),
  node(
    '@fastify/jwt + get-jwks',
    ['@fastify/jwt', 'get-jwks'],
    'fastify-jwt',
    'issuer, audience and algorithm in `verify`',
  ),
  {
    ...node(
      'fastify-jwt-jwks',
      ['fastify-jwt-jwks'],
      'fastify-jwt-jwks',
      'a resource with `signing_algorithm: RS256`',
    ),
    resource: 'rsa',
  },
  node('Hono jwk()', ['hono'], 'hono', '`alg: ["ES256"]`, `typ: "at+jwt"`'),
  {
    ...node('Hono jwk()', ['hono'], 'hono-jwt', '`alg: ["ES256"]`, a resource with `token_typ: JWT`'),
    resource: 'legacy',
  },
  node('aws-jwt-verify', ['aws-jwt-verify'], 'aws-jwt-verify'),
  python('PyJWT', ['PyJWT[crypto]'], 'pyjwt_', `\`algorithms=["ES256"]\`; ${typed}`),
  python('python-jose', ['python-jose[cryptography]'], 'jose_', '`algorithms=["ES256"]`'),
  python('joserfc', ['joserfc'], 'joserfc_', typed),
  python('Authlib JWTBearerTokenValidator', ['Authlib'], 'authlib_rfc9068'),
  python(
    'Django REST framework + simplejwt',
    ['djangorestframework', 'djangorestframework_simplejwt[crypto]'],
    'simplejwt_',
    '`ES256`, no token type, `sub` as the user',
  ),
  python('FastMCP JWTVerifier', ['fastmcp'], 'fastmcp_', '`algorithm="ES256"`'),
  go('coreos/go-oidc', ['github.com/coreos/go-oidc/v3'], 'go_oidc.go', 'go-oidc'),
  go(
    'golang-jwt + keyfunc',
    ['github.com/golang-jwt/jwt/v5', 'github.com/MicahParks/keyfunc/v3'],
    'keyfunc.go',
    'keyfunc',
  ),
  go(
    'auth0/go-jwt-middleware',
    ['github.com/auth0/go-jwt-middleware/v2'],
    'go_jwt_middleware.go',
    'go-jwt-middleware',
    '`validator.ES256`, the issuer letter by letter',
  ),
  go('go-jose', ['github.com/go-jose/go-jose/v4'], 'go_jose.go', 'go-jose'),
  go('lestrrat-go/jwx', ['github.com/lestrrat-go/jwx/v3'], 'jwx.go', 'jwx'),
  java(
    'Spring Security resource server (Boot)',
    ['spring-boot-dependencies'],
    'SpringServer.java',
    'SpringServer',
    'a `JwtDecoder` bean for `at+jwt`',
  ),
  {
    ...java(
      'Spring Security resource server (Boot)',
      ['spring-boot-dependencies'],
      'SpringServerJwt.java',
      'SpringServerJwt',
      'a resource with `token_typ: JWT`',
    ),
    resource: 'legacy',
  },
  java(
    'Nimbus jose-jwt',
    ['nimbus-jose-jwt'],
    'NimbusVerifier.java',
    'NimbusVerifier',
    'a type verifier for `at+jwt`',
  ),
  java('jose4j', ['jose4j'], 'Jose4jVerifier.java', 'Jose4jVerifier'),
  java('java-jwt + jwks-rsa', ['java-jwt', 'jwks-rsa'], 'JavaJwtVerifier.java', 'JavaJwtVerifier', typed),
  java('jjwt', ['jjwt-api'], 'JjwtVerifier.java', 'JjwtVerifier', typed),
  rust(
    'jsonwebtoken',
    ['jsonwebtoken'],
    'jsonwebtoken_verifier.rs',
    'jsonwebtoken',
    'issuer and audience set, `ES256`',
  ),
]

const manifests: Readonly<Record<Exclude<Toolchain, 'curl'>, string>> = {
  node: 'node/package.json',
  python: 'python/requirements.txt',
  go: 'go/go.mod',
  java: 'java/pom.xml',
  rust: 'rust/Cargo.toml',
}

/** What stands before a version in each manifest. */
const pins: Readonly<Record<Exclude<Toolchain, 'curl'>, (name: string) => string>> = {
  node: (name) => `"${name}": "`,
  python: (name) => `^${name}==`,
  go: (name) => `\\s${name} v`,
  java: (name) => `<artifactId>${name}</artifactId>\\s*<version>`,
  rust: (name) => `^${name} = \\{ version = "=`,
}

/** The versions that the manifests pin. */
export function versionsOf({ toolchain, packages }: Program): string {
  if (toolchain === 'curl') {
    const said = execFileSync('curl', ['--version'], { encoding: 'utf8' })
    return /^curl (\S+)/.exec(said)?.[1] ?? ''
  }
  const manifest = readFileSync(join(import.meta.dirname, manifests[toolchain]), 'utf8')
  return packages
    .map((name) => {
      const literal = name.replace(/[.[\]]/g, '\\$&')
      const pin = new RegExp(`${pins[toolchain](literal)}(\\d[\\w.-]*)`, 'm')
      const found = pin.exec(manifest)?.[1]
      if (found === undefined) throw new Error(`${manifests[toolchain]} does not pin ${name}`)
      return found
    })
    .join(' + ')
}
