import { HubConnection, HubConnectionBuilder, LogLevel } from '@microsoft/signalr';
import type { Migration, StreamStatus } from './model.ts';
import type { Store } from './store.ts';

const firstRetryMs = 500;
const longestRetryMs = 10_000;
/** While somebody scrolls, what is in sight changes with every frame. */
const watchDelayMs = 150;
/** The service takes no more. */
const mostWatched = 500;

/**
 * Keeps a connection to the service's hub for as long as the page lives: the first connection and every later one take
 * the same way, without an end to the retries. Changes of state are heard of all streams, progress of those in sight.
 */
export class Hub {
  readonly #store: Store;
  readonly #connection: HubConnection;
  readonly #onConnected: () => void;
  #retryMs = firstRetryMs;
  #wake: (() => void) | undefined;
  #closed: () => void = () => {};
  #watched: readonly string[] = [];
  #watchTimer: ReturnType<typeof setTimeout> | undefined;

  /** @param onConnected is called when a connection is up: what was missed meanwhile is to be fetched. */
  constructor(store: Store, onConnected: () => void, url: string = new URL('hubs/streams', document.baseURI).href) {
    this.#store = store;
    this.#onConnected = onConnected;
    this.#connection = new HubConnectionBuilder().withUrl(url).configureLogging(LogLevel.Error).build();
    // Without a value: what a handler returns would be sent to the service, as an answer that it did not ask for.
    const take = (status: StreamStatus) => void store.apply(status);
    this.#connection.on('StreamProgress', take);
    this.#connection.on('StreamStateChanged', take);
    this.#connection.on('MigrationChanged', (migration: Migration) => void store.applyMigration(migration));
    this.#connection.onclose(() => this.#closed());
    window.addEventListener('online', () => this.#wake?.());
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.#wake?.();
      // Nobody looks: progress need not come.
      this.#scheduleWatch();
    });
  }

  start(): void {
    void this.#run();
  }

  /** Names the streams whose progress is wanted from now on, in place of those named before. */
  watch(streamIds: readonly string[]): void {
    if (streamIds.length === this.#watched.length && streamIds.every((id, index) => id === this.#watched[index])) return;
    this.#watched = streamIds.slice(0, mostWatched);
    this.#scheduleWatch();
  }

  get watched(): readonly string[] {
    return this.#watched;
  }

  #scheduleWatch(): void {
    clearTimeout(this.#watchTimer);
    this.#watchTimer = setTimeout(() => void this.#sendWatch().catch(() => {}), watchDelayMs);
  }

  async #sendWatch(): Promise<void> {
    if (this.#store.hub !== 'connected') return;
    const wanted = document.visibilityState === 'visible' ? this.#watched : [];
    for (const status of await this.#connection.invoke<StreamStatus[]>('Watch', wanted)) this.#store.apply(status);
  }

  async #run(): Promise<void> {
    for (;;) {
      const closed = new Promise<void>((resolve) => (this.#closed = resolve));
      try {
        this.#store.beginConnection();
        await this.#connection.start();
        // Messages may arrive before the answers do: the generations sort that out.
        await this.#connection.invoke('Subscribe', { progress: false, snapshots: false });
        const migrations = await this.#connection.invoke<Migration[]>('SubscribeMigrations', {});
        for (const migration of migrations) this.#store.applyMigration(migration);
        this.#retryMs = firstRetryMs;
        this.#store.setHub('connected');
        await this.#sendWatch();
        this.#onConnected();
        await closed;
        this.#store.setHub('reconnecting');
      } catch {
        // It may have opened, and refused the subscription.
        if (this.#store.hub === 'connected') this.#store.setHub('reconnecting');
        await this.#connection.stop();
      }
      await this.#pause();
    }
  }

  /** Longer each time, and never quite as long as that of other pages, who lost their connection in the same moment. */
  async #pause(): Promise<void> {
    const delay = this.#retryMs * (0.75 + Math.random() / 2);
    this.#retryMs = Math.min(this.#retryMs * 2, longestRetryMs);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }
}
