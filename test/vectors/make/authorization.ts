/** `Authorization` header fields (RFC 9110 §11.6.2, RFC 6750 §2.1, RFC 9449 §7.1). */
export interface AuthorizationCase {
  readonly name: string
  readonly why: string
  /** The values of all Authorization header fields of the request. */
  readonly authorization: readonly string[]
  readonly expected:
    | { readonly result: 'accepted'; readonly scheme: 'Bearer' | 'DPoP'; readonly token: string }
    | { readonly result: 'refused'; readonly code: string }
}
const authorization = (
  name: string,
  why: string,
  values: string[],
  expected: AuthorizationCase['expected'],
): AuthorizationCase => ({ name, why, authorization: values, expected })
const found = (scheme: 'Bearer' | 'DPoP') => ({ result: 'accepted', scheme, token: 'abc.def.ghi' }) as const
const refused = (code: string) => ({ result: 'refused', code }) as const
export const authorizationCases: readonly AuthorizationCase[] = [
  authorization('Bearer', 'RFC 6750 §2.1.', ['Bearer abc.def.ghi'], found('Bearer')),
  authorization('DPoP', 'RFC 9449 §7.1.', ['DPoP abc.def.ghi'], found('DPoP')),
  authorization(
    'bearer in lower case',
    'RFC 9110 §11.1: schemes have no case.',
    ['bearer abc.def.ghi'],
    found('Bearer'),
  ),
  authorization(
    'dpop in lower case',
    'RFC 9110 §11.1: schemes have no case.',
    ['dpop abc.def.ghi'],
    found('DPoP'),
  ),
  authorization(
    'BEARER in upper case',
    'RFC 9110 §11.1: schemes have no case.',
    ['BEARER abc.def.ghi'],
    found('Bearer'),
  ),
  authorization('none', 'RFC 6750 §3.1: the answer names no error.', [], refused('token_missing')),
  authorization('Basic', 'Another scheme is no token.', ['Basic YTpi'], refused('token_missing')),
  authorization(
    'a scheme that begins like Bearer',
    'It is another scheme.',
    ['BearerX abc.def.ghi'],
    refused('token_missing'),
  ),
  authorization(
    'a scheme that ends like Bearer',
    'It is another scheme.',
    ['XBearer abc.def.ghi'],
    refused('token_missing'),
  ),
  authorization('empty', 'There is nothing in it.', [''], refused('token_missing')),
  authorization(
    'twice',
    'Two readers take two values.',
    ['Bearer abc.def.ghi', 'Bearer abc.def.ghi'],
    refused('request_malformed'),
  ),
  authorization(
    'Bearer and Basic',
    'Two readers take two values.',
    ['Bearer abc.def.ghi', 'Basic YTpi'],
    refused('request_malformed'),
  ),
  authorization(
    'two in one field',
    'RFC 9110 §11.6.2: one.',
    ['Bearer abc.def.ghi, Bearer jkl.mno.pqr'],
    refused('request_malformed'),
  ),
  authorization('Bearer alone', 'A token is missing.', ['Bearer'], refused('request_malformed')),
  authorization('Bearer and a space', 'A token is missing.', ['Bearer '], refused('request_malformed')),
  authorization(
    'two spaces',
    'RFC 6750 §2.1: one space.',
    ['Bearer  abc.def.ghi'],
    refused('request_malformed'),
  ),
  authorization('a tab', 'RFC 6750 §2.1: one space.', ['Bearer\tabc.def.ghi'], refused('request_malformed')),
  authorization(
    'a space at the end',
    'RFC 6750 §2.1.',
    ['Bearer abc.def.ghi '],
    refused('request_malformed'),
  ),
  authorization('two tokens', 'RFC 6750 §2.1.', ['Bearer abc.def.ghi jkl'], refused('request_malformed')),
  authorization(
    'parameters instead of a token',
    'RFC 6750 §2.1.',
    ['Bearer token="abc.def.ghi"'],
    refused('request_malformed'),
  ),
  authorization(
    'a character that no token has',
    'RFC 6750 §2.1: letters, digits, -._~+/ and = at the end.',
    ['Bearer abc.d\u00e9f.ghi'],
    refused('request_malformed'),
  ),
]
