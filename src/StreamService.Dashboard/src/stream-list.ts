import { problemOf, type Api } from './api.ts';
import type { Problem, StreamQuery, StreamStatus } from './model.ts';

const firstPage = 100;
/** Whoever jumps far ahead waits for few large pages rather than many small ones. */
const largestPage = 1000;

type Query = Omit<StreamQuery, 'limit' | 'cursor'>;

/** A sorted and filtered list of streams, read page by page from the service as far as somebody has looked. */
export class StreamList {
  /** The ids, in the list's order, as far as they are read. */
  rows: readonly string[] = [];
  problem: Problem | undefined;
  /** Whether the last page is read. */
  complete = false;
  /** Whether the first page of this query has come. */
  loaded = false;

  readonly #api: Api;
  readonly #take: (status: StreamStatus) => void;
  readonly #changed: () => void;
  #query: Query = {};
  #cursor: string | undefined;
  #wanted = 0;
  #era = 0;
  #busy = false;

  /** @param take gets every status that is read. */
  constructor(api: Api, take: (status: StreamStatus) => void, changed: () => void) {
    this.#api = api;
    this.#take = take;
    this.#changed = changed;
  }

  /** Begins another list. What is shown stays until its first page is there. */
  open(query: Query): void {
    this.#era++;
    this.#query = query;
    this.loaded = false;
    this.#busy = false;
    void this.#load(this.#era, firstPage);
  }

  /** Reads the list anew, as far as it was wanted; in place, so that nothing moves that need not. */
  reload(): void {
    this.#era++;
    this.#busy = false;
    void this.#load(this.#era, Math.min(largestPage, Math.max(firstPage, this.#wanted)));
  }

  /** Sees to it that so many rows are read. */
  want(count: number): void {
    this.#wanted = count;
    if (!this.#busy && this.loaded && !this.complete && count > this.rows.length) void this.#readOn(this.#era);
  }

  async #load(era: number, limit: number): Promise<void> {
    this.#busy = true;
    try {
      const page = await this.#api.streams({ ...this.#query, limit });
      if (era !== this.#era) return;
      for (const status of page.items) this.#take(status);
      this.rows = page.items.map(({ streamId }) => streamId);
      this.#cursor = page.nextCursor ?? undefined;
      this.complete = this.#cursor === undefined;
      this.loaded = true;
      this.problem = undefined;
    } catch (error) {
      if (era !== this.#era) return;
      this.problem = problemOf(error);
    }
    this.#busy = false;
    this.#changed();
    this.want(this.#wanted);
  }

  async #readOn(era: number): Promise<void> {
    this.#busy = true;
    try {
      while (!this.complete && this.rows.length < this.#wanted) {
        const limit = Math.min(largestPage, Math.max(firstPage, this.#wanted - this.rows.length));
        const page = await this.#api.streams({ ...this.#query, limit, cursor: this.#cursor });
        if (era !== this.#era) return;
        for (const status of page.items) this.#take(status);
        // One whose place has changed since the page before may come again.
        this.rows = [...new Set([...this.rows, ...page.items.map(({ streamId }) => streamId)])];
        this.#cursor = page.nextCursor ?? undefined;
        this.complete = this.#cursor === undefined;
        this.problem = undefined;
        this.#changed();
      }
    } catch (error) {
      if (era !== this.#era) return;
      this.problem = problemOf(error);
      this.#changed();
    }
    this.#busy = false;
  }
}
