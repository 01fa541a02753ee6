/** Readers of short texts. Each returns what the text means, or undefined where it means nothing. */
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

/** Separated by commas, spaces around them not counting; all of them must be right. */
export const listOf =
  <Element extends string>(isRight: (part: string) => part is Element): Parse<readonly Element[]> =>
  (text) => {
    const parts = text.split(',').map((part) => part.trim())
    return parts.every(isRight) ? [...new Set(parts)] : undefined
  }
