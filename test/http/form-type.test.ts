import { expect, test } from 'vitest'
import { isFormType } from '../../src/http/form-type.ts'

const form = 'application/x-www-form-urlencoded'

test.each([
  form,
  `${form} \t`,
  `${form};`,
  `${form} ; `,
  `${form}; charset=utf-8`,
  `${form};charset="UTF-8"`,
  `${form} ; charset = utf-8 ; `,
  form.toUpperCase(),
])('%j is a form', (type) => {
  expect(isFormType(type)).toBe(true)
})

test.each([
  '',
  `${form}x`,
  `${form}; charset=latin1`,
  `${form}; charset=utf-8; charset=utf-8`,
  `${form}; charset=utf-8; boundary=x`,
  `${form};;`,
  `${form}, ${form}`,
  ` ${form}`,
])('%j is none', (type) => {
  expect(isFormType(type)).toBe(false)
})

// A stranger chooses the header. What takes the square of its length takes half a minute here, and all else nothing.
test.each([form, `${form};`, `${form};charset=utf-8`, `${form}; charset=utf-8;`])(
  '%j and many spaces take no longer than they are long',
  (type) => {
    const startedAt = performance.now()
    expect(isFormType(`${type}${' '.repeat(200_000)}x`)).toBe(false)
    expect(performance.now() - startedAt).toBeLessThan(5_000)
  },
)
