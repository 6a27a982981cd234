/** What befalls a link: drawn from a seed, so that a schedule that found something can be run again. */

import type { Random } from '../../runtime/contracts/random.ts';
import { HEALED, type LinkState, type Side } from './link.ts';

export type Episode =
  | { readonly kind: 'link'; readonly name: string; readonly state: LinkState; readonly ms: number }
  | { readonly kind: 'kill'; readonly name: string; readonly side: Side; readonly ms: number };

const LONGEST_EPISODE_MS = 1500;

/** One to four episodes, of the kinds at `only` when some are given; the link is whole after the last, whatever they were. */
export function drawSchedule(
  random: Random,
  losesPackets: boolean,
  only: readonly number[] = [],
): readonly Episode[] {
  const between = (least: number, most: number): number =>
    Math.round(least + random.float() * (most - least));
  const link = (name: string, state: Partial<LinkState>, ms: number): Episode => ({
    kind: 'link',
    name,
    state: { ...HEALED, ...state },
    ms,
  });
  const kinds: readonly (() => readonly Episode[])[] = [
    () => [link('cut', { mode: 'reset' }, between(200, LONGEST_EPISODE_MS))],
    () => [link('half-open', { mode: 'silent' }, between(200, 2 * LONGEST_EPISODE_MS))],
    () =>
      Array.from({ length: between(2, 5) }, (_, n) =>
        link(
          'flap',
          n % 2 === 0 ? { mode: random.float() < 0.5 ? 'reset' : 'silent' } : {},
          between(50, 300),
        ),
      ),
    () => [link('delay', { delayMs: between(50, 1000) }, between(500, 2 * LONGEST_EPISODE_MS))],
    () =>
      losesPackets
        ? [
            link(
              'loss',
              { delayMs: between(5, 50), loss: between(10, 50) / 1000 },
              between(500, 2 * LONGEST_EPISODE_MS),
            ),
          ]
        : [link('half-open', { mode: 'silent' }, between(200, LONGEST_EPISODE_MS))],
    () => [{ kind: 'kill', name: 'kill edge', side: 'edge', ms: between(0, 300) }],
    () => [{ kind: 'kill', name: 'kill cloud', side: 'cloud', ms: between(0, 300) }],
  ];
  return Array.from({ length: between(1, 4) }, () => {
    const among = only.length === 0 ? kinds : only.map((at) => kinds[at]);
    const drawn = among[Math.floor(random.float() * among.length)]?.() ?? [];
    return random.float() < 0.5 ? drawn : [...drawn, link('whole', {}, between(50, 400))];
  }).flat();
}

export const describe = (episodes: readonly Episode[]): string =>
  episodes
    .map(({ name, ms, ...rest }) => {
      const state = rest.kind === 'link' ? rest.state : undefined;
      const more = state?.loss ? ` ${state.loss * 100} %` : state?.delayMs ? ` ${state.delayMs} ms` : '';
      return `${name}${more} (${ms} ms)`;
    })
    .join(', ');
