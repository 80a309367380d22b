import { HubConnection, HubConnectionBuilder, LogLevel } from '@microsoft/signalr';
import type { Migration, StreamStatus } from './model.ts';
import type { Store } from './store.ts';

const firstRetryMs = 500;
const longestRetryMs = 10_000;

/**
 * Keeps a connection to the service's hub for as long as the page lives: the first connection and every later one take
 * the same way, without an end to the retries, each with a new subscription and with it a snapshot of every stream.
 */
export class Hub {
  readonly #store: Store;
  readonly #connection: HubConnection;
  readonly #onSnapshot: () => void;
  #retryMs = firstRetryMs;
  #wake: (() => void) | undefined;
  #closed: () => void = () => {};

  /** @param onSnapshot is called when a connection is up and its snapshots are in the store. */
  constructor(store: Store, onSnapshot: () => void, url: string = new URL('hubs/streams', document.baseURI).href) {
    this.#store = store;
    this.#onSnapshot = onSnapshot;
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
    });
  }

  start(): void {
    void this.#run();
  }

  async #run(): Promise<void> {
    for (;;) {
      const closed = new Promise<void>((resolve) => (this.#closed = resolve));
      try {
        this.#store.beginConnection();
        await this.#connection.start();
        // Messages may arrive before the snapshots do: the generations sort that out.
        const snapshots = await this.#connection.invoke<StreamStatus[]>('Subscribe', {});
        for (const status of snapshots) this.#store.apply(status);
        const migrations = await this.#connection.invoke<Migration[]>('SubscribeMigrations', {});
        for (const migration of migrations) this.#store.applyMigration(migration);
        this.#retryMs = firstRetryMs;
        this.#store.update({ hub: 'connected', streamsLoaded: true });
        this.#onSnapshot();
        await closed;
        this.#store.update({ hub: 'reconnecting' });
      } catch {
        // It may have opened, and refused the subscription.
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
