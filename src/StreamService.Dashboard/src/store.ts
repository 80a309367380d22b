import type { Migration, StreamState, StreamStatus } from './model.ts';

export type HubState = 'connecting' | 'connected' | 'reconnecting';

export interface StateChange {
  readonly status: StreamStatus;
  /** Undefined where the stream was not known before. */
  readonly from: StreamState | undefined;
}

/** What the service said last of single streams and migrations. Pages read it, the hub and the pages' fetches write it; it tells whoever subscribed. */
export class Store {
  hub: HubState = 'connecting';

  readonly #streams = new Map<string, StreamStatus>();
  readonly #migrations = new Map<string, Migration>();
  /** The streams and migrations whose generation this connection has seen: only those can be outdated by a lower one. */
  readonly #seen = new Set<string>();
  readonly #listeners = new Set<() => void>();
  readonly #stateListeners = new Set<(change: StateChange) => void>();
  readonly #progressListeners = new Set<(status: StreamStatus) => void>();

  get migrations(): ReadonlyMap<string, Migration> {
    return this.#migrations;
  }

  stream(streamId: string): StreamStatus | undefined {
    return this.#streams.get(streamId);
  }

  /** @param listener is told of any change, at once and often. */
  subscribe(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** @param listener is told when a stream changes its state, or shows up for the first time in a message. */
  onStateChange(listener: (change: StateChange) => void): void {
    this.#stateListeners.add(listener);
  }

  /** @param listener is told of every status that is news. */
  onStatus(listener: (status: StreamStatus) => void): void {
    this.#progressListeners.add(listener);
  }

  setHub(state: HubState): void {
    if (this.hub === state) return;
    this.hub = state;
    this.notify();
  }

  /**
   * Takes a status, in whatever order statuses arrive: an older generation than the one known is dropped.
   * @returns whether it was news.
   */
  apply(status: StreamStatus): boolean {
    if (status.state === 'idle' || !status.streamId) return false;
    const known = this.#streams.get(status.streamId);
    if (known !== undefined && this.#seen.has(status.streamId) && status.generation <= known.generation) return false;
    this.#seen.add(status.streamId);
    this.#streams.set(status.streamId, status);
    for (const listener of this.#progressListeners) listener(status);
    if (known?.state !== status.state) {
      for (const listener of this.#stateListeners) listener({ status, from: known?.state });
    }
    this.notify();
    return true;
  }

  /** Takes a migration; like {@link apply}, in whatever order they arrive. */
  applyMigration(migration: Migration): boolean {
    const { migrationId } = migration;
    const known = this.#migrations.get(migrationId);
    if (known !== undefined && this.#seen.has(migrationId) && migration.generation <= known.generation) return false;
    this.#seen.add(migrationId);
    this.#migrations.set(migrationId, migration);
    this.notify();
    return true;
  }

  /**
   * A new connection to the service begins, which may have been started anew since: generations known from before no
   * longer outdate anything. What is shown stays until something newer arrives.
   */
  beginConnection(): void {
    this.#seen.clear();
  }

  /** Keeps of the streams only those: a list that is left behind may have been long. */
  keep(streamIds: ReadonlySet<string>): void {
    for (const id of this.#streams.keys()) if (!streamIds.has(id)) this.#streams.delete(id);
  }

  notify(): void {
    for (const listener of this.#listeners) listener();
  }
}
