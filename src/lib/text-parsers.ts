/** Parses a short text. Returns its value, or undefined if the text is not valid. */
export type Parse<Value> = (text: string) => Value | undefined

export const textLike =
  (isRight: (text: string) => boolean): Parse<string> =>
  (text) =>
    isRight(text) ? text : undefined

export const matching = (form: RegExp): Parse<string> => textLike((text) => form.test(text))

export const wholeNumber =
  (least: number, most: number): Parse<number> =>
  (text) =>
    /^\d{1,9}$/.test(text) && Number(text) >= least && Number(text) <= most ? Number(text) : undefined

export const oneOf =
  <Choice extends string>(choices: readonly Choice[]): Parse<Choice> =>
  (text) =>
    choices.find((choice) => choice === text)

/**
 * A list separated by commas, without duplicates. Spaces around an element are ignored. Every element must be
 * valid.
 */
export const listOf =
  <Element extends string>(isRight: (part: string) => part is Element): Parse<readonly Element[]> =>
  (text) => {
    const parts = text.split(',').map((part) => part.trim())
    return parts.every(isRight) ? [...new Set(parts)] : undefined
  }
