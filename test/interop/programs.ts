import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Long because it is a list with an entry for each program.
 *
 * The programs that are run against the service: each is the first example of a library's own documentation, with URL,
 * id, secret and audience filled in. `needs` says what else had to be said.
 */
export type Toolchain = 'curl' | 'node' | 'python' | 'go' | 'java' | 'rust' | 'ruby' | 'php' | 'perl'

export interface Program {
  readonly toolchain: Toolchain
  /** What it is called in the tables, and the packages that it is about. */
  readonly name: string
  readonly packages: readonly string[]
  /** The file with its example. */
  readonly file: string
  /** What names the program to its toolchain, if it is not the file. */
  readonly command?: string
  /** Says the version of a library that the system's packages bring. */
  readonly version?: readonly string[]
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
  { toolchain: 'curl', name: 'curl', packages: [], file: 'curl/token.sh', version: ['curl', '--version'] },
  {
    toolchain: 'curl',
    name: 'wget',
    packages: [],
    file: 'curl/wget.sh',
    version: ['wget', '--version'],
    needs: '`--auth-no-challenge`, or it asks twice',
  },
  node('openid-client', ['openid-client'], 'openid-client'),
  node('openid-client', ['openid-client-5'], 'openid-client-5'),
  node('oauth4webapi', ['oauth4webapi'], 'oauth4webapi'),
  node('simple-oauth2', ['simple-oauth2'], 'simple-oauth2', '`tokenPath: "/token"`'),
  node('axios', ['axios'], 'axios', '`URLSearchParams`: a plain object is sent as JSON'),
  node('axios-oauth-client', ['axios-oauth-client'], 'axios-oauth-client'),
  node('@badgateway/oauth2-client', ['@badgateway/oauth2-client'], 'badgateway'),
  node('client-oauth2', ['client-oauth2'], 'client-oauth2'),
  node('undici', ['undici'], 'undici'),
  node('undici-oidc-interceptor', ['undici-oidc-interceptor'], 'undici-oidc-interceptor', '`resource`'),
  node('got', ['got'], 'got', '`form`, not `json`'),
  node('ky', ['ky'], 'ky', '`URLSearchParams`: `json` is refused'),
  node('Model Context Protocol SDK', ['@modelcontextprotocol/sdk'], 'mcp'),
  node(
    'MSAL',
    ['@azure/msal-node'],
    'msal-node',
    '`ProtocolMode.OIDC`; a client with one resource, because it sends no `resource`',
  ),
  python('requests', ['requests'], 'requests_', '`data=`, not `json=`'),
  python('requests-oauthlib', ['requests-oauthlib'], 'requests_oauthlib_'),
  python('Authlib (requests)', ['Authlib'], 'authlib_requests'),
  python('Authlib (httpx)', ['Authlib', 'httpx'], 'authlib_httpx'),
  python('aiohttp', ['aiohttp'], 'aiohttp_', '`data=`, not `json=`'),
  python(
    'Kafka (librdkafka)',
    ['confluent-kafka'],
    'confluent_kafka_',
    '`https.ca.location` for a CA of your own; a client with one resource, because it sends no `resource`',
  ),
  python(
    'Iceberg REST catalog',
    ['pyiceberg'],
    'pyiceberg_',
    '`scope`, because it asks for `catalog`; `resource`',
  ),
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
  rust('openidconnect', ['openidconnect'], 'openidconnect_client.rs', 'openidconnect'),
  {
    toolchain: 'ruby',
    name: 'oauth2',
    packages: [],
    file: 'ruby/oauth2.rb',
    version: ['ruby', '-e', "puts Gem::Specification.find_by_name('oauth2').version"],
    needs: '`token_url: "/token"`',
  },
  {
    toolchain: 'php',
    name: 'curl of PHP',
    packages: [],
    file: 'php/curl.php',
    version: ['php', '--version'],
  },
  {
    toolchain: 'perl',
    name: 'LWP',
    packages: [],
    file: 'perl/lwp.pl',
    version: ['perl', '-MLWP', '-e', 'print $LWP::VERSION'],
  },
]

/** A caller that signs an assertion and has no secret (private_key_jwt). */
export const signers: readonly Program[] = [
  {
    toolchain: 'curl',
    name: 'curl + openssl',
    packages: [],
    file: 'curl/assertion.sh',
    version: ['curl', '--version'],
    needs: 'an RSA key with `alg: RS256`',
  },
  node('openid-client', ['openid-client'], 'openid-client-jwt'),
  node('openid-client', ['openid-client-5'], 'openid-client-5-jwt'),
  node('oauth4webapi', ['oauth4webapi'], 'oauth4webapi-jwt'),
  node('Model Context Protocol SDK', ['@modelcontextprotocol/sdk'], 'mcp-jwt'),
  python('PyJWT', ['PyJWT[crypto]', 'requests'], 'pyjwt_assertion'),
  python(
    'Authlib (requests)',
    ['Authlib'],
    'authlib_jwt',
    '`aud`, `exp` and `jti` in `claims`, because it names the token endpoint, for an hour; an `ECKey` of joserfc',
  ),
  python(
    'requests_oauth2client',
    ['requests_oauth2client'],
    'requests_oauth2client_jwt',
    '`aud`, because it names the token endpoint',
  ),
  go('golang-jwt', ['github.com/golang-jwt/jwt/v5'], 'jwt_assertion.go', 'jwt-assertion'),
  java(
    'Spring Security OAuth2 client (Boot)',
    ['spring-boot-dependencies'],
    'SpringAssertion.java',
    'SpringAssertion',
    'a customizer for `aud`, because it names the token endpoint',
  ),
  java('Nimbus oauth2-oidc-sdk', ['oauth2-oidc-sdk'], 'NimbusAssertion.java', 'NimbusAssertion'),
  java('jjwt', ['jjwt-api'], 'JjwtAssertion.java', 'JjwtAssertion'),
]

/** A caller that proves itself with its certificate (mutual TLS) and has no secret. */
export const certified: readonly Program[] = [
  {
    toolchain: 'curl',
    name: 'curl',
    packages: [],
    file: 'curl/certificate.sh',
    version: ['curl', '--version'],
  },
  node(
    'openid-client + undici',
    ['openid-client', 'undici'],
    'openid-client-mtls',
    '`use_mtls_endpoint_aliases` and a dispatcher',
  ),
  node('openid-client', ['openid-client-5'], 'openid-client-5-mtls', '`http_options`'),
  node(
    'oauth4webapi + undici',
    ['oauth4webapi', 'undici'],
    'oauth4webapi-mtls',
    '`use_mtls_endpoint_aliases` and a dispatcher',
  ),
  node('axios', ['axios'], 'axios-mtls', '`httpsAgent`'),
  python('requests', ['requests'], 'requests_mtls', '`client_id` in the body'),
  python('httpx', ['httpx'], 'httpx_mtls', '`client_id` in the body'),
  python('requests-oauthlib', ['requests-oauthlib'], 'requests_oauthlib_mtls', '`include_client_id=True`'),
  go(
    'golang.org/x/oauth2/clientcredentials',
    ['golang.org/x/oauth2'],
    'certificate.go',
    'certificate',
    '`AuthStyleInParams`',
  ),
  java(
    'Spring Security OAuth2 client (Boot)',
    ['spring-boot-dependencies'],
    'SpringCertificate.java',
    'SpringCertificate',
    'the method `NONE`, and a `RestClient`',
  ),
  java('Nimbus oauth2-oidc-sdk', ['oauth2-oidc-sdk'], 'NimbusCertificate.java', 'NimbusCertificate'),
  rust('oauth2', ['oauth2'], 'certificate.rs', 'certificate'),
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
  node('oauth4webapi', ['oauth4webapi'], 'oauth4webapi-verifier'),
  node('fast-jwt + get-jwks', ['fast-jwt', 'get-jwks'], 'fast-jwt', '`algorithms`, issuer, audience, type'),
  node('passport-http-bearer + jose', ['passport-http-bearer', 'jose'], 'passport-http-bearer'),
  node(
    'NestJS, @nestjs/passport + jwks-rsa',
    ['@nestjs/passport', 'jwks-rsa'],
    'nest',
    '`algorithms: ["ES256"]`',
  ),
  {
    ...node('@hapi/jwt', ['@hapi/jwt'], 'hapi-jwt', 'a resource with `signing_algorithm: RS256`'),
    resource: 'rsa',
  },
  {
    ...node(
      '@okta/jwt-verifier',
      ['@okta/jwt-verifier'],
      'okta-jwt-verifier',
      '`jwksUri`; a resource with `signing_algorithm: RS256`',
    ),
    resource: 'rsa',
  },
  python('PyJWT', ['PyJWT[crypto]'], 'pyjwt_', `\`algorithms=["ES256"]\`; ${typed}`),
  python('python-jose', ['python-jose[cryptography]'], 'jose_', '`algorithms=["ES256"]`'),
  python('joserfc', ['joserfc'], 'joserfc_', typed),
  python('jwcrypto', ['jwcrypto'], 'jwcrypto_', typed),
  python('Flask + Authlib ResourceProtector', ['Flask', 'Authlib'], 'authlib_flask'),
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
  go('hashicorp/cap', ['github.com/hashicorp/cap'], 'cap_verifier.go', 'cap', '`jwt.ES256`'),
  go(
    'zitadel/oidc',
    ['github.com/zitadel/oidc/v3'],
    'zitadel_oidc.go',
    'zitadel',
    '`ES256`; the audience is checked by hand',
  ),
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
  java(
    'Vert.x OpenIDConnectAuth',
    ['vertx-auth-oauth2'],
    'VertxVerifier.java',
    'VertxVerifier',
    '`JWTOptions` with the audience, or it asks for introspection',
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
  rust(
    'tower-oauth2-resource-server (axum)',
    ['tower-oauth2-resource-server', 'axum'],
    'tower_server.rs',
    'tower',
  ),
  {
    toolchain: 'ruby',
    name: 'jwt',
    packages: [],
    file: 'ruby/jwt.rb',
    version: ['ruby', '-e', "puts Gem::Specification.find_by_name('jwt').version"],
    needs: `\`algorithms: ['ES256']\`; ${typed}`,
  },
  {
    toolchain: 'ruby',
    name: 'json-jwt + openid_connect',
    packages: [],
    file: 'ruby/json_jwt.rb',
    version: ['ruby', '-e', "puts Gem::Specification.find_by_name('json-jwt').version"],
    needs: 'issuer, audience, time and type are checked by hand',
  },
  {
    toolchain: 'perl',
    name: 'Crypt::JWT',
    packages: [],
    file: 'perl/crypt_jwt.pl',
    version: ['perl', '-MCrypt::JWT', '-e', 'print $Crypt::JWT::VERSION'],
    needs: typed,
  },
]

type Pinned = Exclude<Toolchain, 'curl' | 'ruby' | 'php' | 'perl'>

const manifests: Readonly<Record<Pinned, string>> = {
  node: 'node/package.json',
  python: 'python/requirements.txt',
  go: 'go/go.mod',
  java: 'java/pom.xml',
  rust: 'rust/Cargo.toml',
}

/** What stands before a version in each manifest. */
const pins: Readonly<Record<Pinned, (name: string) => string>> = {
  // The name may stand for another one: npm:NAME@VERSION.
  node: (name) => `"${name}": "(?:npm:[^"@]+@)?`,
  python: (name) => `^${name}==`,
  go: (name) => `\\s${name} v`,
  java: (name) => `<artifactId>${name}</artifactId>\\s*<version>`,
  rust: (name) => `^${name} = \\{ version = "=`,
}

/** The versions that the manifests pin, or that the program itself says. */
export function versionsOf({ toolchain, packages, version }: Program): string {
  if (toolchain === 'curl' || toolchain === 'ruby' || toolchain === 'php' || toolchain === 'perl') {
    const [command = '', ...words] = version ?? []
    const said = execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    return /\d+(?:\.\d+)+/.exec(said)?.[0] ?? ''
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
