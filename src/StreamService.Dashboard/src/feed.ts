import { problemOf } from './api.ts';
import type { Problem } from './model.ts';

/** Something that is fetched again and again. A failed fetch keeps what the last good one brought. */
export interface Loaded<T> {
  /** Undefined until the first fetch succeeded. */
  readonly value: T | undefined;
  /** Why the last fetch failed; undefined where it did not. */
  readonly problem: Problem | undefined;
}

/** How long a page waits for the slowest of what it shows, before it shows what is there. */
const patienceMs = 4_000;

/** Whether all has come, or will not soon: a page that is drawn when it has all it needs does not jump. */
export function isReady(feeds: readonly (Loaded<unknown> & { readonly isLate: boolean })[]): boolean {
  return feeds.every((feed) => feed.value !== undefined || feed.problem !== undefined || feed.isLate);
}

/**
 * Fetches again and again while it is wanted and the page is in sight: a page that nobody sees asks for nothing, and catches up
 * when it is seen again.
 */
export class Feed<T> implements Loaded<T> {
  value: T | undefined;
  problem: Problem | undefined;

  readonly #load: () => Promise<T>;
  readonly #interval: (value: T | undefined) => number;
  readonly #changed: (fresh: boolean) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wanted = false;
  #busy = false;
  #again = false;
  #overdue = false;
  #startedAt = Infinity;
  /** Answers to what was asked before a reset are nobody's any more. */
  #era = 0;

  /**
   * @param interval milliseconds until the next fetch, by what the last one brought; Infinity for none.
   * @param changed is told after each fetch whether it brought something else than the one before.
   */
  constructor(load: () => Promise<T>, interval: (value: T | undefined) => number, changed: (fresh: boolean) => void) {
    this.#load = load;
    this.#interval = interval;
    this.#changed = changed;
    document.addEventListener('visibilitychange', () => {
      if (this.#wanted && this.#overdue && document.visibilityState === 'visible') void this.refresh();
    });
  }

  start(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#startedAt = performance.now();
    setTimeout(() => this.#wanted && this.value === undefined && this.#changed(true), patienceMs);
    void this.refresh();
  }

  /** Whether its first answer takes longer than anybody should look at nothing. */
  get isLate(): boolean {
    return performance.now() - this.#startedAt >= patienceMs;
  }

  stop(): void {
    this.#wanted = false;
    clearTimeout(this.#timer);
  }

  /** Forgets what it has: another thing is asked for from now on. */
  reset(): void {
    this.#era++;
    this.value = undefined;
    this.problem = undefined;
  }

  /** Takes what another call has answered. */
  take(value: T): void {
    this.#era++;
    this.value = value;
    this.problem = undefined;
    this.#changed(true);
  }

  /** Fetches now; a call while a fetch is under way makes one more follow it. */
  async refresh(): Promise<void> {
    if (!this.#wanted) return;
    clearTimeout(this.#timer);
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    this.#overdue = false;
    do {
      this.#again = false;
      await this.#fetch();
    } while (this.#again && this.#wanted);
    this.#busy = false;
    const delay = this.#interval(this.value);
    if (this.#wanted && Number.isFinite(delay)) this.#timer = setTimeout(() => this.#due(), delay);
  }

  #due(): void {
    if (document.visibilityState === 'visible') void this.refresh();
    else this.#overdue = true;
  }

  async #fetch(): Promise<void> {
    const era = this.#era;
    try {
      const value = await this.#load();
      if (era !== this.#era) return;
      const fresh = this.problem !== undefined || JSON.stringify(value) !== JSON.stringify(this.value);
      this.value = value;
      this.problem = undefined;
      this.#changed(fresh);
    } catch (error) {
      if (era !== this.#era) return;
      this.problem = problemOf(error);
      this.#changed(true);
    }
  }
}
