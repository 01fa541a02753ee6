/** The hosts of a URL, as libpq reads them. */
import { expect, test } from 'vitest'
import { splitHosts } from '../../src/lib/database-hosts.ts'

test.each([
  ['one host', 'postgresql://u:p@h:5433/d?sslmode=require', ['postgresql://u:p@h:5433/d?sslmode=require']],
  [
    'several',
    'postgres://u:p@a:1,b,[::1]:3/d',
    ['postgres://u:p@a:1/d', 'postgres://u:p@b/d', 'postgres://u:p@[::1]:3/d'],
  ],
  ['no user', 'postgresql://a,b/d?x=1', ['postgresql://a/d?x=1', 'postgresql://b/d?x=1']],
  ['a password with an @', 'postgresql://u:p@q@a,b/d', ['postgresql://u:p@q@a/d', 'postgresql://u:p@q@b/d']],
  ['a password with a comma', 'postgresql://u:p,q@a/d', ['postgresql://u:p,q@a/d']],
  ['a socket', 'postgresql:///d?host=/run/p', ['postgresql:///d?host=/run/p']],
  [
    'several hosts and one port',
    'postgresql://u@/d?host=/run/a,b&port=5433&x=1',
    ['postgresql://u@/d?x=1&host=%2Frun%2Fa&port=5433', 'postgresql://u@/d?x=1&host=b&port=5433'],
  ],
  [
    'a port for each host',
    'postgresql:///d?host=a,b&port=1,2',
    ['postgresql:///d?host=a&port=1', 'postgresql:///d?host=b&port=2'],
  ],
])('%s', (_title, url, urls) => {
  expect(splitHosts(url)).toEqual({ urls, attributes: 'any' })
})

test.each([
  'mysql://a/b',
  'postgresql://a/b#c',
  'postgresql:///d?host=a,b,c&port=1,2',
  'postgresql://a/d?host=b&host=c',
  '',
])('%j is none', (text) => {
  expect(splitHosts(text)).toBeUndefined()
})

test('the attributes are those of all hosts', () => {
  expect(splitHosts('postgresql://a,b/d?target_session_attrs=read-write&x=1')).toMatchObject({
    attributes: 'read-write',
  })
})
