/**
 * What a key may do follows from its moments and now; and a schedule never leaves a verifier without a key (P5).
 *
 * Long because the property test draws whole worlds of keys, and its model stands beside it.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import {
  assumedVerifierCacheSeconds,
  checkSeconds,
  earlyLeadSeconds,
  leadSeconds,
  momentsFrom,
  nextPublicationAt,
  planEarly,
  planExtension,
  planKey,
  planTakeover,
  scheduleProblem,
} from '../../src/keys/schedule.ts'
import {
  isOver,
  isPublished,
  type KeyMoments,
  type KeyState,
  keyState,
  latestKey,
  maySign,
  type ScheduleSettings,
  signingKeyAt,
  tokensEndBy,
  waitingKey,
} from '../../src/keys/state.ts'

const key: KeyMoments = {
  publishedAt: 100,
  signsFrom: 200,
  signsUntil: 300,
  publishedUntil: 400,
  revokedAt: undefined,
}

const day = 86_400
const usual: ScheduleSettings = {
  keyLifetimeSeconds: 90 * day,
  tokenLifetimeSecondsMax: day,
  jwksMaxAgeSeconds: 300,
  verifierCooldownSeconds: 60,
  clockSkewSeconds: 60,
}
/** Tokens of 20 s and clocks 5 s apart: `key` may sign until 375. */
const small: ScheduleSettings = {
  keyLifetimeSeconds: 300,
  tokenLifetimeSecondsMax: 20,
  jwksMaxAgeSeconds: 30,
  verifierCooldownSeconds: 10,
  clockSkewSeconds: 5,
}

describe('the state of a key', () => {
  test.each<[number, KeyState]>([
    [0, 'waiting'],
    [99, 'waiting'],
    [100, 'published'],
    [199, 'published'],
    [200, 'signing'],
    [299, 'signing'],
    [300, 'retiring'],
    [399, 'retiring'],
    [400, 'removed'],
    [1_000_000, 'removed'],
  ])('at %i is %s', (now, state) => {
    expect(keyState(key, now)).toBe(state)
  })

  test('the very first key is published and signs in the same second', () => {
    expect(keyState({ ...key, publishedAt: 100, signsFrom: 100 }, 100)).toBe('signing')
  })

  test('revoked is revoked whatever the clock says: one that is behind must not go on', () => {
    for (const now of [0, 99, 100, 200, 300, 399, 400, 500]) {
      const revoked = { ...key, revokedAt: 250 }
      expect(keyState(revoked, now)).toBe('revoked')
      expect(isPublished(revoked, now)).toBe(false)
      expect(maySign(revoked, small, now)).toBe(false)
    }
  })

  test('a key is published from the moment it is known, also where the clock is behind', () => {
    expect(isPublished(key, 90)).toBe(true)
    expect(maySign(key, small, 90)).toBe(false)
    expect(isPublished(key, 399)).toBe(true)
    expect(isPublished(key, 400)).toBe(false)
  })

  test.each([
    [199, false],
    [200, true],
    [300, true],
    [375, true],
    [376, false],
  ])('may it sign at %i: %s', (now, expected) => {
    expect(maySign(key, small, now)).toBe(expected)
  })
})

describe('the key that signs', () => {
  const first = { ...key, generation: 1 }
  const second = {
    ...key,
    generation: 2,
    publishedAt: 250,
    signsFrom: 350,
    signsUntil: 450,
    publishedUntil: 550,
  }

  test.each([
    ['none before the first may', 199, undefined],
    ['the first while the next is only published', 349, 1],
    ['the next from the second it may', 350, 2],
    ['the next for as long as its tokens are safe', 525, 2],
    ['none where a token would outlive its key', 526, undefined],
  ])('is %s', (_title, now, generation) => {
    expect(signingKeyAt([first, second], small, now)?.generation).toBe(generation)
    expect(signingKeyAt([second, first], small, now)?.generation).toBe(generation)
  })

  test('is the one before when the latest is revoked, and none where there is none', () => {
    expect(signingKeyAt([first, { ...second, revokedAt: 360 }], small, 360)?.generation).toBe(1)
    expect(signingKeyAt([], small, 0)).toBeUndefined()
    expect(signingKeyAt([{ ...first, revokedAt: 0 }], small, 250)).toBeUndefined()
  })
})

describe('settings', () => {
  test('that work are not refused: the default, and the smallest drill', () => {
    expect(scheduleProblem(usual)).toBeUndefined()
    expect(
      scheduleProblem({
        keyLifetimeSeconds: 14,
        tokenLifetimeSecondsMax: 1,
        jwksMaxAgeSeconds: 1,
        verifierCooldownSeconds: 1,
        clockSkewSeconds: 1,
      }),
    ).toBeUndefined()
  })

  test.each<[Partial<ScheduleSettings>, string[]]>([
    [
      { jwksMaxAgeSeconds: 86 },
      ['max-age 86 s', 'cooldown 10 s', 'skew 5 s', '101 s', '(100 s)', 'at least 303 s'],
    ],
    [{ tokenLifetimeSecondsMax: 46 }, ['Tokens of 46 s', 'skew 5 s', '51 s', '(50 s)', 'at least 306 s']],
    [
      {
        keyLifetimeSeconds: 12,
        tokenLifetimeSecondsMax: 1,
        jwksMaxAgeSeconds: 1,
        verifierCooldownSeconds: 1,
        clockSkewSeconds: 1,
      },
      ['3 s of caches', '4 s until', '7 s', '12 s', 'at least 14 s'],
    ],
  ])('%o are refused with the numbers, and what is proposed works', (change, numbers) => {
    const settings = { ...small, ...change }
    const problem = scheduleProblem(settings) ?? ''
    for (const number of numbers) expect(problem).toContain(number)
    const least = Number(/at least (\d+) s/.exec(problem)?.[1])
    expect(scheduleProblem({ ...settings, keyLifetimeSeconds: least })).toBeUndefined()
    expect(scheduleProblem({ ...settings, keyLifetimeSeconds: least - 1 })).toBeDefined()
  })

  test('that break an inequality are always refused', () => {
    const any = fc.record<ScheduleSettings>({
      keyLifetimeSeconds: fc.integer({ min: 6, max: 600 }),
      tokenLifetimeSecondsMax: fc.integer({ min: 1, max: 120 }),
      jwksMaxAgeSeconds: fc.nat(120),
      verifierCooldownSeconds: fc.nat(60),
      clockSkewSeconds: fc.nat(60),
    })
    fc.assert(
      fc.property(any, (settings) => {
        const {
          keyLifetimeSeconds: lifetime,
          tokenLifetimeSecondsMax: token,
          clockSkewSeconds: skew,
        } = settings
        const caches = settings.jwksMaxAgeSeconds + settings.verifierCooldownSeconds + skew
        const broken =
          caches * 3 > lifetime ||
          (token + skew) * 6 > lifetime ||
          leadSeconds(settings) + checkSeconds(settings) > Math.floor(lifetime / 2)
        expect(scheduleProblem(settings) !== undefined).toBe(broken)
      }),
      { numRuns: worldsTried },
    )
  })
})

describe('planning', () => {
  const now = 1_800_000_000

  test('the very first key signs at once, for half a lifetime, and retires for a sixth', () => {
    expect(planKey(undefined, [], usual, now, undefined)).toEqual({
      publishedAt: now,
      signsFrom: now,
      // On the fastest clock, which is a minute ahead.
      signsUntil: now + 60 + 45 * day,
      publishedUntil: now + 60 + 60 * day,
      revokedAt: undefined,
    })
  })

  test('the next one is published a third of a lifetime before its turn', () => {
    const first = momentsFrom(now, now, usual)
    const due = nextPublicationAt(first, usual)
    expect(first.signsUntil - due).toBe(30 * day + 3 + checkSeconds(usual))
    expect(planKey(first, [first], usual, due, due).signsFrom).toBe(first.signsUntil)
  })

  test('a late one waits until every cache has seen it', () => {
    const first = momentsFrom(now, now, usual)
    const late = first.signsUntil + day
    expect(planKey(first, [first], usual, late, late).signsFrom).toBe(late + leadSeconds(usual))
  })

  test('after a long time without keys nobody has to be waited for; while a set may be cached, everybody', () => {
    const first = momentsFrom(now, now, usual)
    const after = first.publishedUntil + leadSeconds(usual)
    expect(planKey(first, [first], usual, after, after).signsFrom).toBe(after)
    expect(planKey(first, [first], usual, after - 1, after - 1).signsFrom).toBe(
      after - 1 + leadSeconds(usual),
    )
    // A key of another algorithm was fetched with the same set.
    expect(planKey(undefined, [first], usual, now + 5, now + 5).signsFrom).toBe(now + 5 + leadSeconds(usual))
  })

  test('where nothing signs and nobody asked for the keys, nobody is waited for; where something signs, it goes on', () => {
    const first = momentsFrom(now, now, usual)
    // The last minutes of its publication, in which it may not sign any more.
    const idle = first.publishedUntil - 100
    const seen = idle - leadSeconds(usual) - 60
    expect(planKey(first, [first], usual, idle, undefined).signsFrom).toBe(idle)
    expect(planKey(first, [first], usual, idle, seen).signsFrom).toBe(idle)
    expect(planKey(first, [first], usual, idle, seen + 1).signsFrom).toBe(idle + leadSeconds(usual))
    expect(planKey(undefined, [first], usual, idle, seen).signsFrom).toBe(idle)
    const late = first.signsUntil + day
    expect(planKey(first, [first], usual, late, undefined).signsFrom).toBe(late + leadSeconds(usual))
  })

  test('a key is over when no clock can bring it back', () => {
    const first = momentsFrom(now, now, small)
    expect(isOver(first, small, first.publishedUntil + small.clockSkewSeconds - 1)).toBe(false)
    expect(isOver(first, small, first.publishedUntil + small.clockSkewSeconds)).toBe(true)
    expect(isOver({ ...first, revokedAt: now }, small, now - day)).toBe(true)
  })

  test('a key whose tokens live longer now than when it was made is followed sooner', () => {
    const first = momentsFrom(now, now, { ...small, tokenLifetimeSecondsMax: 10 })
    const longer = { ...small, keyLifetimeSeconds: 900, tokenLifetimeSecondsMax: 100 }
    const turnEnd = first.publishedUntil - 105
    expect(nextPublicationAt(first, longer)).toBeLessThan(turnEnd - leadSeconds(longer))
    expect(planKey(first, [first], longer, now + 1, now + 1).signsFrom).toBe(turnEnd)
  })

  test('a key that waits and is too short for the longest token does not keep the next one waiting', () => {
    const waiting = momentsFrom(now, now + 100, small)
    expect(nextPublicationAt(waiting, small)).toBe(waiting.signsUntil - 100 - 3 - checkSeconds(small))
    const longer = { ...usual, clockSkewSeconds: 5 }
    expect(nextPublicationAt(waiting, longer)).toBeLessThan(now)
    expect(planKey(waiting, [waiting], longer, now, now).signsFrom).toBe(now + leadSeconds(longer))
  })

  test('a key that was to sign for longer than keys live now is followed sooner, and stays published', () => {
    const first = momentsFrom(now, now, usual)
    const shorter = { ...usual, keyLifetimeSeconds: 7 * day }
    const due = nextPublicationAt(first, shorter)
    expect(first.signsFrom + 3.5 * day + 120 - due).toBe(
      Math.floor((7 * day) / 3) + 3 + checkSeconds(shorter),
    )
    expect(planKey(first, [first], shorter, now + 10 * day, now).signsFrom).toBe(
      now + 10 * day + leadSeconds(shorter),
    )
    expect(signingKeyAt([{ ...first, generation: 1 }], shorter, now + 59 * day)).toBeDefined()
  })

  test('a key signs for as long as a token of a minute fits, and its tokens end with its publication', () => {
    const short = momentsFrom(now, now, { ...usual, keyLifetimeSeconds: 1_860 })
    const generation = 1
    expect(tokensEndBy(short, usual)).toBe(short.publishedUntil - 60)
    expect(signingKeyAt([{ ...short, generation }], usual, short.publishedUntil - 120)).toBeDefined()
    expect(signingKeyAt([{ ...short, generation }], usual, short.publishedUntil - 119)).toBeUndefined()
    // Where all tokens are shorter than that, the longest has to fit.
    expect(signingKeyAt([{ ...key, generation }], small, key.publishedUntil - 25)).toBeDefined()
    expect(signingKeyAt([{ ...key, generation }], small, key.publishedUntil - 24)).toBeUndefined()
  })

  describe('is published for longer', () => {
    const first = { ...momentsFrom(now, now, small), generation: 1 }
    const at = (moment: number, signsFrom: number, keys = [first]) => {
      const next = { ...momentsFrom(moment, signsFrom, usual), generation: 9 }
      return planExtension([...keys, next], usual, moment)
    }
    const mayStill = first.publishedUntil - 60 - usual.clockSkewSeconds

    test('only if it ends before the next one signs, and then so that the longest token fits', () => {
      expect(at(now + 1, mayStill + 1)).toBeUndefined()
      expect(at(now + 1, mayStill + 2)).toEqual({
        key: first,
        moments: { ...momentsFrom(now, now, small), publishedUntil: mayStill + 2 + day + 60 },
      })
      expect(planExtension([first], usual, now + 1)).toBeUndefined()
    })

    test('also if it may not sign any more, and not if some replica may have dropped it', () => {
      expect(at(first.publishedUntil - 4, first.publishedUntil + 400)?.key).toBe(first)
      expect(at(first.publishedUntil - 3, first.publishedUntil + 400)).toBeUndefined()
    })

    test('the latest one that is not revoked and whose turn has come', () => {
      const second = { ...first, generation: 2 }
      const late = first.publishedUntil + 400
      expect(at(now + 1, late, [first, second])?.key).toBe(second)
      expect(at(now + 1, late, [first, { ...second, revokedAt: now }])?.key).toBe(first)
      const waits = { ...second, signsFrom: late - 1 }
      expect(at(now + 1, late, [first, waits])?.moments.publishedUntil).toBe(late - 1 + day + 60)
    })
  })

  test('where nobody asks, a key signs at once as soon as the one before it may not', () => {
    const first = momentsFrom(now, now, small)
    const mayStill = first.publishedUntil - small.tokenLifetimeSecondsMax - small.clockSkewSeconds
    expect(planKey(first, [first], small, mayStill, undefined).signsFrom).toBe(mayStill + leadSeconds(small))
    expect(planKey(first, [first], small, mayStill + 1, undefined).signsFrom).toBe(mayStill + 1)
  })

  test('an early turn waits for verifiers that keep sets for longer, while another key signs', () => {
    const usual = readConfig({}).schedule
    expect(leadSeconds(usual)).toBe(423)
    expect(earlyLeadSeconds(usual, assumedVerifierCacheSeconds)).toBe(1_023)
    expect(earlyLeadSeconds(usual, 0)).toBe(423)
    const latest = momentsFrom(now - 1_000, now - 900, usual)
    const soon = planEarly(undefined, usual, now, 'lead', 900, latest).signsFrom
    expect(soon).toBe(now + 1_023)
    expect(
      planEarly({ ...latest, publishedAt: now, signsFrom: now + 500 }, usual, now, 'lead', 900).signsFrom,
    ).toBe(now + 500)
    // Nothing signs, or not for long enough: then they are not waited for.
    expect(planEarly(undefined, usual, now, 'lead', 900).signsFrom).toBe(now + 423)
    const ending = { ...latest, signsUntil: now + 600 }
    expect(planEarly(undefined, usual, now, 'lead', 900, ending).signsFrom).toBe(now + 600)
    expect(planEarly(undefined, usual, now, 'now', 900, latest).signsFrom).toBe(now)
    // With keys that live shortly, a third of their life has to do.
    expect(earlyLeadSeconds(small, 900)).toBe(Math.floor(small.keyLifetimeSeconds / 3) + 3)
  })

  test('an early turn is never a later one, and never before the publication', () => {
    const waiting = momentsFrom(now, now + 1_000, small)
    expect(planEarly(undefined, small, now, 'lead').signsFrom).toBe(now + leadSeconds(small))
    expect(planEarly(undefined, small, now, 'now').signsFrom).toBe(now)
    expect(planEarly(waiting, small, now + 10, 'lead').signsFrom).toBe(now + leadSeconds(small))
    expect(planEarly(waiting, small, now + 990, 'lead').signsFrom).toBe(now + 990)
    expect(planEarly(waiting, small, now + 1_500, 'lead').signsFrom).toBe(now + 1_000)
    expect(planEarly(waiting, small, now - 4, 'now').signsFrom).toBe(now)
  })
})

describe('a key that is called back', () => {
  const now = 1_800_000_000
  const lead = leadSeconds(small)
  const first = { ...momentsFrom(now, now, small), generation: 1 }
  const second = { ...momentsFrom(first.signsUntil - lead, first.signsUntil, small), generation: 2 }
  const plan = (keys: (typeof first)[], gone: typeof first, at: number) => {
    const takeover = planTakeover(keys, gone, small, at)
    return takeover && { next: takeover.next?.generation, signsFrom: takeover.moments.signsFrom }
  }

  test('and is the only one is followed at once, also on the slowest clock', () => {
    const at = now + 50
    expect(plan([first], first, at)).toEqual({ next: undefined, signsFrom: at - small.clockSkewSeconds })
  })

  test('and signs is followed by the one that waits', () => {
    const at = second.publishedAt + 1
    expect(plan([first, second], first, at)).toEqual({ next: 2, signsFrom: at - small.clockSkewSeconds })
  })

  test('while another may still sign leaves the turn to that one until caches have seen the next', () => {
    const at = second.signsFrom + small.clockSkewSeconds
    const mayStill = first.publishedUntil - small.tokenLifetimeSecondsMax - small.clockSkewSeconds
    expect(plan([first, second], second, at)).toEqual({
      next: undefined,
      signsFrom: Math.min(at + lead, mayStill + 1),
    })
  })

  test('and waits changes nothing, unless the one that signs ends before another can be ready', () => {
    expect(plan([first, second], second, second.publishedAt)?.signsFrom).toBeUndefined()
    const mayStill = first.publishedUntil - small.tokenLifetimeSecondsMax - small.clockSkewSeconds
    const late = { ...second, publishedAt: mayStill - 10, signsFrom: mayStill + 1 }
    expect(plan([first, late], late, mayStill - 5)).toEqual({ next: undefined, signsFrom: mayStill + 1 })
  })

  test('just after its turn ended takes nothing from a clock that is behind', () => {
    const at = second.signsFrom + 1
    expect(plan([first, second], first, at)).toEqual({ next: 2, signsFrom: at - small.clockSkewSeconds })
    expect(plan([first, second], first, at + small.clockSkewSeconds)).toBeUndefined()
  })

  const mayStill = first.publishedUntil - small.tokenLifetimeSecondsMax - small.clockSkewSeconds
  /** From now on until whatever is made at the next look may sign, on the fastest clock. */
  const ready = small.clockSkewSeconds + checkSeconds(small) + lead

  test('and waits matters from the second on in which the one that signs ends too early for another', () => {
    expect(plan([first, second], second, mayStill - ready)).toBeUndefined()
    const at = mayStill - ready + 1
    expect(plan([first, second], second, at)).toEqual({ next: undefined, signsFrom: at + lead })
  })

  test('and waits for a time when another may be ready anyway changes nothing, whatever comes between', () => {
    const at = now + 150
    const waiting = { ...second, publishedAt: now + 130 }
    const near = { ...waiting, signsFrom: at + ready }
    expect(plan([first, near], near, at)).toEqual({ next: undefined, signsFrom: mayStill + 1 })
    const far = { ...waiting, signsFrom: at + ready + 1 }
    expect(plan([first, far], far, at)).toBeUndefined()
  })

  test('and signed until a moment ago is taken from a clock that is behind, and not from one that is not', () => {
    const at = mayStill + small.clockSkewSeconds
    expect(plan([first], first, at)).toEqual({ next: undefined, signsFrom: mayStill })
    expect(plan([first], first, at + 1)).toBeUndefined()
  })

  test('and signs, beside another that may, leaves the turn to that one, also where the slowest clock has none yet', () => {
    const other = { ...first, generation: 2 }
    for (const at of [now + 2, now + 20]) {
      expect(plan([first, other], other, at)).toEqual({ next: undefined, signsFrom: at + lead })
    }
  })

  test('is followed by one whose publication is not moved, unless it signs before', () => {
    const other = { ...first, generation: 2 }
    const third = { ...second, generation: 3 }
    const moments = planTakeover([first, other, third], other, small, now + 110)?.moments
    expect(moments).toMatchObject({ publishedAt: second.publishedAt, signsFrom: second.signsFrom })
    const at = second.publishedAt + 1
    const slowest = at - small.clockSkewSeconds
    expect(planTakeover([first, second], first, small, at)?.moments).toMatchObject({
      publishedAt: slowest,
      signsFrom: slowest,
    })
    expect(planTakeover([first, other], other, small, now + 20)?.moments.publishedAt).toBe(now + 20)
  })

  test('and had ended long ago changes nothing, even where nothing signs', () => {
    expect(plan([first], first, first.publishedUntil + day)).toBeUndefined()
  })
})

// ── The simulation ─────────────────────────────────────────────────────────────────────────────────────

/** Settings that are not refused, down to seconds, and often at the very edge of what is not. */
const settingsWith = (tokenLifetimeSecondsMax: fc.Arbitrary<number>): fc.Arbitrary<ScheduleSettings> =>
  fc
    .record({
      keyLifetimeSeconds: fc.integer({ min: 8, max: 260 }),
      tokenLifetimeSecondsMax,
      jwksMaxAgeSeconds: fc.nat(60),
      verifierCooldownSeconds: fc.nat(30),
      clockSkewSeconds: fc.nat(15),
    })
    .map((settings) => ({ ...settings, keyLifetimeSeconds: leastLifetime(settings) }))
const settingsThatWork = settingsWith(fc.integer({ min: 1, max: 45 }))
/** Among them tokens that live for longer than the shortest for which a key still signs. */
const settingsAfterwards = fc.oneof(settingsThatWork, settingsWith(fc.integer({ min: 61, max: 150 })))

function leastLifetime(settings: ScheduleSettings): number {
  const problem = scheduleProblem(settings)
  if (problem === undefined) return settings.keyLifetimeSeconds
  return leastLifetime({ ...settings, keyLifetimeSeconds: Number(/at least (\d+) s/.exec(problem)?.[1]) })
}

interface Replica {
  /** Seconds that its clock is ahead of the slowest one there is: at most S. */
  readonly ahead: number
  /** Seconds after which it has heard of a new key, and its set may be that old. */
  readonly lag: number
  /** When it looks whether a key is due, in seconds past a multiple of the interval. */
  readonly phase: number
  /** When it sleeps: shares of the whole run. */
  readonly sleeps: readonly (readonly [from: number, until: number])[]
}

interface World {
  readonly settings: ScheduleSettings
  /** All processes start again with these settings, at shares of the run. */
  readonly changes: readonly { readonly at: number; readonly settings: ScheduleSettings }[]
  readonly replicas: readonly Replica[]
  /** Operators that rotate early, at a share of the run, with a clock of their own. */
  readonly early: readonly {
    readonly at: number
    readonly ahead: number
    readonly verifierCacheSeconds: number
  }[]
  /** Keys that are called back at a share of the run: the last one made, or one before it. */
  readonly revocations: readonly { readonly at: number; readonly ahead: number; readonly back: number }[]
  readonly start: number
}

/** Under mutations every world costs so many times, and most of what breaks breaks in the first few. */
const worldsTried = process.env['MUTATION_TESTS'] === undefined ? 2_000 : 100

const share = fc.double({ min: 0, max: 1, noNaN: true })

/** @param changesMax how often the settings change in a world, at most. */
const worldsWith = (changesMax: number): fc.Arbitrary<World> =>
  fc
    .tuple(
      settingsThatWork,
      fc.array(fc.record({ at: share, settings: settingsAfterwards }), {
        minLength: Math.min(1, changesMax),
        maxLength: changesMax,
      }),
    )
    .chain(([settings, changes]) => {
      // How long verifiers wait is a fact about them.
      const { verifierCooldownSeconds } = settings
      const alike = changes.map(({ at, settings: others }) => {
        const changed = { ...others, verifierCooldownSeconds }
        return { at, settings: { ...changed, keyLifetimeSeconds: leastLifetime(changed) } }
      })
      return worldOf(settings, alike)
    })

function worldOf(settings: ScheduleSettings, changes: World['changes']): fc.Arbitrary<World> {
  // Clocks do not change with the settings.
  const ahead = fc.nat(
    Math.min(settings.clockSkewSeconds, ...changes.map((each) => each.settings.clockSkewSeconds)),
  )
  const replica = (sleeps: fc.Arbitrary<Replica['sleeps']>) =>
    fc.record<Replica>({ ahead, lag: fc.nat(2), phase: fc.nat(60), sleeps })
  return fc.record<World>({
    settings: fc.constant(settings),
    changes: fc.constant(changes),
    // The first never sleeps: somebody checks in time.
    replicas: fc
      .tuple(
        replica(fc.constant([])),
        fc.array(replica(fc.array(fc.tuple(share, share), { maxLength: 3 })), { maxLength: 3 }),
      )
      .map(([awake, others]) => [awake, ...others]),
    early: fc.array(fc.record({ at: share, ahead, verifierCacheSeconds: fc.nat(900) }), { maxLength: 4 }),
    revocations: fc.array(fc.record({ at: share, ahead, back: fc.nat(2) }), { maxLength: 2 }),
    start: fc.integer({ min: 1_000, max: 5_000 }),
  })
}

interface SimulatedKey extends KeyMoments {
  readonly generation: number
  readonly madeAt: number
  /** Its turn came early because another was called back: nobody may have seen it, and that is accepted. */
  readonly emergency?: boolean
}

/**
 * Lives through a world second by second, by the slowest clock, and tells what broke.
 * A verifier is not simulated but every one there could be: whatever set some replica served, somebody may
 * hold for M + C seconds.
 */
function livesThrough({ settings: first, changes, replicas, early, revocations, start }: World): string[] {
  const length = Math.max(...[first, ...changes.map((each) => each.settings)].map(lifetime)) * 4
  const problems: string[] = []
  let settings = first
  let keys: SimulatedKey[] = []
  /** The last second in which some cache may hold a set without the key, from a replica that served it. */
  const cachedWithoutUntil = new Map<number, number>()
  const signed = new Map<number, number>()
  const lastExpiry = new Map<number, number>()
  /** Until when caches may hold what was served with other settings. */
  let otherSetsExpireAt = 0
  /** As the service plans (key-change.ts): sets that were served with a longer max-age count while they may be cached. */
  const planned = (now: number, waiting?: KeyMoments): ScheduleSettings => {
    const longer = otherSetsExpireAt - (waiting?.publishedAt ?? now)
    return { ...settings, jwksMaxAgeSeconds: Math.max(settings.jwksMaxAgeSeconds, longer) }
  }
  let startedAt = start
  /** Until when a key that was called back is replaced by one whose turn is still to come. */
  let replacedUntil = 0
  /** Until when nothing may sign: see the test of a revocation just before the settings are raised. */
  let mayLackUntil = 0
  const add = (moments: KeyMoments, now: number, emergency = false) => {
    keys = [...keys, { ...moments, generation: keys.length + 1, madeAt: now, emergency }]
    // Just before, it was missing.
    cachedWithoutUntil.set(keys.length, Math.max(now + settings.jwksMaxAgeSeconds, otherSetsExpireAt))
  }
  const noteMissing = (generation: number, at: number) => {
    const before = cachedWithoutUntil.get(generation) ?? 0
    cachedWithoutUntil.set(generation, Math.max(before, at + settings.jwksMaxAgeSeconds))
  }
  const replace = (one: SimulatedKey, change: Partial<SimulatedKey>) => {
    keys = keys.map((each) => (each.generation === one.generation ? { ...each, ...change } : each))
  }

  for (let second = 0; second <= length; second += 1) {
    const time = start + second
    const awake = replicas.filter(({ sleeps }) =>
      sleeps.every(([from, until]) => second < from * length || second >= until * length),
    )
    const change = changes.findLast(({ at }) => Math.floor(at * length) === second)
    if (change !== undefined) {
      otherSetsExpireAt = Math.max(otherSetsExpireAt, time + settings.jwksMaxAgeSeconds)
      settings = change.settings
      startedAt = time
      mayLackUntil = replacedUntil
    }
    for (const { at, ahead, verifierCacheSeconds } of early) {
      if (Math.floor(at * length) !== second || keys.length === 0) continue
      const now = time + ahead
      const waiting = waitingKey(keys, now)
      const moments = planEarly(
        waiting,
        planned(now, waiting),
        now,
        'lead',
        verifierCacheSeconds,
        latestKey(keys),
      )
      if (waiting === undefined) add(moments, time)
      else replace(waiting, moments)
    }
    for (const { at, ahead, back } of revocations) {
      const gone = keys.at(-1 - back)
      if (Math.floor(at * length) !== second || gone === undefined || gone.revokedAt !== undefined) continue
      const now = time + ahead
      const takeover = planTakeover(keys, gone, planned(now, waitingKey(keys, now)), now)
      replace(gone, { revokedAt: now })
      if (takeover === undefined) continue
      replacedUntil = takeover.moments.signsFrom
      if (takeover.next === undefined) add(takeover.moments, time, true)
      else replace(takeover.next, { ...takeover.moments, emergency: true })
    }
    for (const { ahead, phase } of awake) {
      const starts = second === 0 || change !== undefined
      if (!starts && (second + phase) % checkSeconds(settings) !== 0) continue
      const now = time + ahead
      const latest = latestKey(keys)
      if (latest === undefined || now >= nextPublicationAt(latest, settings))
        add(planKey(latest, keys, planned(now), now, now), time)
      const extension = planExtension(keys, settings, now)
      if (extension !== undefined) replace(extension.key, extension.moments)
    }
    for (const { ahead, lag } of awake) {
      for (const one of keys) {
        // A process that starts reads every key first.
        const isUnheard = one.madeAt > time - lag && one.madeAt >= startedAt
        if (isUnheard && one.generation > 1) noteMissing(one.generation, time)
        const unexpired = time < (lastExpiry.get(one.generation) ?? 0)
        if (unexpired && one.revokedAt === undefined && !isPublished(one, time + ahead))
          problems.push(`${time}: unexpired tokens of a removed key ${one.generation}`)
      }
    }
    for (const { ahead } of awake) {
      const now = time + ahead
      // The commit sees to it that whoever signs knows every key there is.
      const signer = signingKeyAt(keys, settings, now)
      if (signer === undefined) {
        if (second > first.clockSkewSeconds && now >= mayLackUntil) problems.push(`${time}: nothing signs`)
        continue
      }
      if (!isPublished(signer, now)) problems.push(`${time}: signs while not published`)
      if (signer.generation > 1 && !signed.has(signer.generation) && signer.emergency !== true) {
        const cached = time - (cachedWithoutUntil.get(signer.generation) ?? 0)
        if (cached <= settings.verifierCooldownSeconds)
          problems.push(`${time}: key ${signer.generation} signs ${cached} s after a cache may lack it`)
        const caches =
          settings.jwksMaxAgeSeconds + settings.verifierCooldownSeconds + settings.clockSkewSeconds
        if (changes.length === 0 && signer.signsFrom - signer.publishedAt <= caches)
          problems.push(`${time}: key ${signer.generation} was not published for long enough`)
      }
      signed.set(signer.generation, signed.get(signer.generation) ?? time)
      const expiry = Math.min(now + settings.tokenLifetimeSecondsMax, tokensEndBy(signer, settings))
      if (expiry <= now) problems.push(`${time}: a token that is over at once`)
      if (changes.length === 0 && expiry < now + settings.tokenLifetimeSecondsMax)
        problems.push(`${time}: a short token, although nobody changed the settings`)
      lastExpiry.set(signer.generation, Math.max(lastExpiry.get(signer.generation) ?? 0, expiry))
    }
  }
  const expected = changes.length === 0 ? 5 : 2
  if (keys.length < expected) problems.push(`only ${keys.length} keys in ${length} s`)
  return problems
}

const lifetime = (settings: ScheduleSettings): number => settings.keyLifetimeSeconds

describe('in every world of replicas whose clocks are apart, that sleep, hear late and rotate early', () => {
  test('a key is everywhere long before it signs, stays until its last token expired, and one always signs (P5)', () => {
    fc.assert(
      fc.property(worldsWith(0), (world) => {
        expect(livesThrough(world)).toEqual([])
      }),
      { numRuns: worldsTried },
    )
  })

  test('also where a person whose clock is ahead rotates in the last seconds before the next key would be made', () => {
    const settings = {
      keyLifetimeSeconds: 171,
      tokenLifetimeSecondsMax: 13,
      jwksMaxAgeSeconds: 41,
      verifierCooldownSeconds: 1,
      clockSkewSeconds: 15,
    }
    const world: World = {
      settings,
      changes: [],
      replicas: [{ ahead: 0, lag: 0, phase: 0, sleeps: [] }],
      early: [{ at: 0.291, ahead: 14, verifierCacheSeconds: 0 }],
      revocations: [],
      start: 1_000,
    }
    expect(livesThrough(world)).toEqual([])
  })

  test('and so it stays when the settings change, up or down: something signs, and its tokens fit', () => {
    fc.assert(
      fc.property(worldsWith(3), (world) => {
        expect(livesThrough(world)).toEqual([])
      }),
      { numRuns: worldsTried / 10 },
    )
  })

  test('a revocation just after the settings were raised takes the key that would have been published for longer', () => {
    const settings = {
      keyLifetimeSeconds: 252,
      tokenLifetimeSecondsMax: 19,
      jwksMaxAgeSeconds: 55,
      verifierCooldownSeconds: 4,
      clockSkewSeconds: 15,
    }
    const raised = { ...settings, keyLifetimeSeconds: 444, tokenLifetimeSecondsMax: 65, clockSkewSeconds: 9 }
    const current = { ...momentsFrom(1_000, 1_000, settings), generation: 1 }
    const waiting = { ...momentsFrom(1_060, current.signsUntil, settings), generation: 2 }
    const now = current.signsUntil - 5
    expect(signingKeyAt([current, waiting], raised, now)).toBeUndefined()
    expect(planExtension([current, waiting], raised, now)?.key).toBe(current)
    const takeover = planTakeover([current, waiting], current, raised, now)
    expect(takeover?.next).toBe(waiting)
    expect(takeover?.moments.signsFrom).toBe(now - raised.clockSkewSeconds)
  })

  test('just after a revocation, raised settings can end the key that is left before the next has its turn', () => {
    const settings = {
      keyLifetimeSeconds: 251,
      tokenLifetimeSecondsMax: 5,
      jwksMaxAgeSeconds: 56,
      verifierCooldownSeconds: 4,
      clockSkewSeconds: 13,
    }
    const raised = { ...settings, keyLifetimeSeconds: 444, tokenLifetimeSecondsMax: 65, clockSkewSeconds: 9 }
    const old = { ...momentsFrom(1_000, 1_000, settings), generation: 1 }
    const now = old.publishedUntil - settings.clockSkewSeconds - settings.tokenLifetimeSecondsMax - 2
    const current = {
      ...planKey(old, [old], settings, now - 100, now - 100),
      generation: 2,
      signsFrom: now - 60,
    }
    const waiting = { ...planKey(current, [old, current], settings, now - 20, now - 20), generation: 3 }
    const takeover = planTakeover([old, current, waiting], current, settings, now)
    const left = [old, { ...waiting, ...takeover?.moments }]
    const turn = left[1]?.signsFrom ?? 0
    // With the settings of the revocation, the old key signs until then.
    for (let at = now; at < turn; at += 1) expect(signingKeyAt(left, settings, at)).toBe(old)
    // With the raised ones, nothing signs: a token of the old key would be over too soon, and one of the next key would
    // be unknown to caches. It ends by itself at the turn.
    expect(signingKeyAt(left, raised, now)).toBeUndefined()
    expect(signingKeyAt(left, raised, turn)).toBe(left[1])
    expect(turn - now).toBeLessThanOrEqual(leadSeconds(settings))
  })

  test('when nobody made a key for long, the last one goes on while it is safe, and then nothing signs (F-14)', () => {
    fc.assert(
      fc.property(settingsThatWork, fc.nat(1_000), (settings, later) => {
        const first = { ...momentsFrom(1_000, 1_000, settings), generation: 1 }
        const now = first.signsUntil + later
        const { tokenLifetimeSecondsMax: token, clockSkewSeconds: skew } = settings
        const signer = signingKeyAt([first], settings, now)
        expect(signer !== undefined).toBe(now + token + skew <= first.publishedUntil)
        const next = { ...planKey(first, [first], settings, now, now), generation: 2 }
        const cached = now < first.publishedUntil + leadSeconds(settings)
        expect(next.signsFrom - next.publishedAt).toBe(cached ? leadSeconds(settings) : 0)
      }),
    )
  })
})
