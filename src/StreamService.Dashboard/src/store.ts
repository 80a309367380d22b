import type { Domain, Host, Migration, Problem, StreamState, StreamStatus } from './model.ts';
import { isFinished } from './streams.ts';

export type HubState = 'connecting' | 'connected' | 'reconnecting';

/** Something that is fetched again and again. A failed fetch keeps what the last good one brought. */
export interface Loaded<T> {
  /** Undefined until the first fetch succeeded. */
  readonly value: T | undefined;
  /** Why the last fetch failed; undefined where it did not. */
  readonly problem: Problem | undefined;
}

export interface DomainList {
  readonly items: readonly Domain[];
  /** Whether the service has more than were asked for. */
  readonly more: boolean;
}

export interface StateChange {
  readonly status: StreamStatus;
  readonly from: StreamState;
}

/** What the service said last. Views read it, the hub and the poller write it; it tells whoever subscribed. */
export class Store {
  hosts: Loaded<readonly Host[]> = { value: undefined, problem: undefined };
  domains: Loaded<DomainList> = { value: undefined, problem: undefined };
  hub: HubState = 'connecting';
  /** Whether the statuses have been loaded once: an empty list says something only then. */
  streamsLoaded = false;
  streamsProblem: Problem | undefined;
  /** Where the next page of older streams starts; undefined where there is none. */
  olderStreams: string | undefined;

  readonly #streams = new Map<string, StreamStatus>();
  readonly #migrations = new Map<string, Migration>();
  /** The streams and migrations whose generation this connection has seen: only those can be outdated by a lower one. */
  readonly #seen = new Set<string>();
  readonly #listeners = new Set<() => void>();
  readonly #stateListeners = new Set<(change: StateChange) => void>();

  get streams(): ReadonlyMap<string, StreamStatus> {
    return this.#streams;
  }

  get migrations(): ReadonlyMap<string, Migration> {
    return this.#migrations;
  }

  /** @param listener is told of any change, at once and often. */
  subscribe(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** @param listener is told when a stream that was known before changes its state. */
  onStateChange(listener: (change: StateChange) => void): void {
    this.#stateListeners.add(listener);
  }

  update(change: Partial<Pick<Store, 'hosts' | 'domains' | 'hub' | 'streamsLoaded' | 'streamsProblem' | 'olderStreams'>>): void {
    Object.assign(this, change);
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
    if (known !== undefined && known.state !== status.state) {
      for (const listener of this.#stateListeners) listener({ status, from: known.state });
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

  /** The streams shown as live that this connection has not heard of: they ended, or are gone, while it was away. */
  unconfirmed(): StreamStatus[] {
    return [...this.#streams.values()].filter((stream) => !isFinished(stream.state) && !this.#seen.has(stream.streamId));
  }

  remove(streamId: string): void {
    if (this.#streams.delete(streamId)) this.notify();
  }

  notify(): void {
    for (const listener of this.#listeners) listener();
  }
}
