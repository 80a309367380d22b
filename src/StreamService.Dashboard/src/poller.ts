import { ApiError, type Api } from './api.ts';
import type { Domain } from './model.ts';
import type { Store } from './store.ts';

const intervalMs = 5_000;
/** After a stream changed its state its disk's chain does too: soon, but once for many changes at the same time. */
const settleMs = 400;
const pageSize = 100;

/** Fetches what the hub does not push: hosts and domains, gently, while somebody looks; older streams when asked. */
export class Poller {
  readonly #api: Api;
  readonly #store: Store;
  #domainPages = 1;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Whether somebody asked for streams beyond the first page. */
  #readOn = false;
  #busy = false;
  #again = false;

  constructor(api: Api, store: Store) {
    this.#api = api;
    this.#store = store;
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') void this.refresh();
    });
    store.onStateChange(() => this.#schedule(settleMs));
  }

  start(): void {
    void this.refresh();
    void this.loadStreams();
  }

  /** Fetches now; a call while a fetch is under way makes one more follow it. */
  async refresh(): Promise<void> {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    do {
      this.#again = false;
      const work = [this.#loadHosts(), this.#loadDomains()];
      // Without the hub these lists would stand still.
      if (this.#store.hub !== 'connected') work.push(this.loadStreams(), this.#loadMigrations());
      await Promise.all(work);
    } while (this.#again);
    this.#busy = false;
    this.#schedule(intervalMs);
  }

  async moreDomains(): Promise<void> {
    this.#domainPages++;
    await this.refresh();
  }

  /** The newest page of streams, live or not. */
  async loadStreams(): Promise<void> {
    await this.#streamPage(undefined);
  }

  async moreStreams(): Promise<void> {
    await this.#streamPage(this.#store.olderStreams);
  }

  /** Asks for the streams that were live before the connection was lost and that the new one does not know. */
  async confirmStreams(): Promise<void> {
    await Promise.all(this.#store.unconfirmed().map(async ({ streamId }) => {
      try {
        this.#store.apply(await this.#api.stream(streamId));
      } catch (error) {
        if (error instanceof ApiError && error.problem.status === 404) this.#store.remove(streamId);
      }
    }));
  }

  #schedule(delay: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      // A page that nobody sees asks for nothing; it catches up when it is seen again.
      if (document.visibilityState === 'visible') void this.refresh();
    }, delay);
  }

  async #loadHosts(): Promise<void> {
    try {
      this.#store.update({ hosts: { value: await this.#api.hosts(), problem: undefined } });
    } catch (error) {
      this.#store.update({ hosts: { value: this.#store.hosts.value, problem: problemOf(error) } });
    }
  }

  async #loadDomains(): Promise<void> {
    try {
      const items: Domain[] = [];
      let cursor: string | undefined;
      for (let page = 0; page < this.#domainPages; page++) {
        const answer = await this.#api.domains({ limit: pageSize, cursor });
        items.push(...answer.items);
        cursor = answer.nextCursor ?? undefined;
        if (cursor === undefined) break;
      }
      this.#store.update({ domains: { value: { items, more: cursor !== undefined }, problem: undefined } });
    } catch (error) {
      this.#store.update({ domains: { value: this.#store.domains.value, problem: problemOf(error) } });
    }
  }

  async #loadMigrations(): Promise<void> {
    try {
      for (const migration of (await this.#api.migrations({ limit: pageSize })).items) this.#store.applyMigration(migration);
    } catch {
      // The list of streams, which is asked for at the same time, says what is wrong.
    }
  }

  async #streamPage(cursor: string | undefined): Promise<void> {
    try {
      const page = await this.#api.streams({ limit: pageSize, cursor });
      for (const status of page.items) this.#store.apply(status);
      if (cursor !== undefined) this.#readOn = true;
      // The first page is fetched again and again: it says nothing about how far somebody has read on.
      if (cursor !== undefined || !this.#readOn) this.#store.update({ olderStreams: page.nextCursor ?? undefined });
      this.#store.update({ streamsLoaded: true, streamsProblem: undefined });
    } catch (error) {
      this.#store.update({ streamsProblem: problemOf(error) });
    }
  }
}

function problemOf(error: unknown): ApiError['problem'] {
  return error instanceof ApiError ? error.problem : { title: 'Something went wrong in the page', detail: String(error) };
}
