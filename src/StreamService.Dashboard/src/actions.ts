import { ApiError, type Api } from './api.ts';
import { mebibytesToBandwidth } from './format.ts';
import type { Disk, Domain, Migration, Policy, Priority, Problem, StreamStatus } from './model.ts';
import type { Store } from './store.ts';

/** The form that starts a stream, while it is open. */
export interface StreamForm {
  readonly domain: Domain;
  readonly disk: Disk;
  bandwidth: string;
  policy: Policy;
  priority: Priority;
  busy: boolean;
  problem: Problem | undefined;
}

/** The form that begins a migration, while it is open. */
export interface MigrationForm {
  readonly domain: Domain;
  readonly destinations: readonly string[];
  destination: string;
  bandwidth: string;
  verify: boolean;
  busy: boolean;
  problem: Problem | undefined;
}

const finishedStep = 20;

/** What the person at the page does, and the page's own state that comes of it: nothing here is known to the service. */
export class Actions {
  form: StreamForm | undefined;
  migrationForm: MigrationForm | undefined;
  /** The stream that was just started: its row is to be shown, once it is there. */
  started: string | undefined;
  finishedShown = finishedStep;
  /** By stream: what was typed as a bandwidth and not sent yet. */
  readonly drafts = new Map<string, string>();
  /** By stream or migration: why the last request about it was refused. */
  readonly problems = new Map<string, Problem>();
  /** The streams and migrations with a request under way. */
  readonly busy = new Set<string>();

  readonly #api: Api;
  readonly #store: Store;

  constructor(api: Api, store: Store) {
    this.#api = api;
    this.#store = store;
  }

  openForm(domain: Domain, disk: Disk): void {
    this.form = { domain, disk, bandwidth: '0', policy: 'adaptive', priority: 'normal', busy: false, problem: undefined };
    this.#store.notify();
  }

  closeForm(): void {
    if (this.form === undefined) return;
    this.form = undefined;
    this.#store.notify();
  }

  async submitForm(): Promise<void> {
    const form = this.form;
    if (form === undefined || form.busy) return;
    const bandwidth = mebibytesToBandwidth(form.bandwidth);
    if (bandwidth === null) {
      form.problem = badBandwidth;
      this.#store.notify();
      return;
    }
    form.busy = true;
    form.problem = undefined;
    this.#store.notify();
    try {
      const { policy, priority } = form;
      const address = { domain: form.domain.id, path: form.disk.target };
      const status = await this.#api.start(address, { mode: 'full', bandwidth, policy, priority });
      this.#store.apply(status);
      // Unless somebody closed the form meanwhile, and looks at something else.
      if (this.form === form) {
        this.form = undefined;
        this.started = status.streamId;
      }
    } catch (error) {
      form.problem = problemOf(error);
    } finally {
      form.busy = false;
      this.#store.notify();
    }
  }

  openMigrationForm(domain: Domain, destinations: readonly string[]): void {
    this.migrationForm = { domain, destinations, destination: destinations[0] ?? '', bandwidth: '0', verify: false, busy: false, problem: undefined };
    this.#store.notify();
  }

  closeMigrationForm(): void {
    if (this.migrationForm === undefined) return;
    this.migrationForm = undefined;
    this.#store.notify();
  }

  async submitMigration(): Promise<void> {
    const form = this.migrationForm;
    if (form === undefined || form.busy) return;
    const bandwidth = mebibytesToBandwidth(form.bandwidth);
    if (bandwidth === null) {
      form.problem = badBandwidth;
      this.#store.notify();
      return;
    }
    form.busy = true;
    form.problem = undefined;
    this.#store.notify();
    try {
      const { destination, verify } = form;
      this.#store.applyMigration(await this.#api.migrate(form.domain.id, { destination, verify, stream: { mode: 'full', bandwidth } }));
      if (this.migrationForm === form) this.migrationForm = undefined;
    } catch (error) {
      form.problem = problemOf(error);
    } finally {
      form.busy = false;
      this.#store.notify();
    }
  }

  cancelMigration(migration: Migration): Promise<void> {
    return this.#endMigration(migration, false);
  }

  deleteLeft(migration: Migration): Promise<void> {
    return this.#endMigration(migration, true);
  }

  setPaused(stream: StreamStatus, paused: boolean): Promise<void> {
    return this.#send(stream, () => this.#api.change(stream, { state: paused ? 'paused' : 'running' }));
  }

  cancel(stream: StreamStatus): Promise<void> {
    return this.#send(stream, () => this.#api.cancel(stream));
  }

  async setBandwidth(stream: StreamStatus, text: string): Promise<void> {
    const bandwidth = mebibytesToBandwidth(text);
    if (bandwidth === null) {
      this.problems.set(stream.streamId, badBandwidth);
      this.#store.notify();
      return;
    }
    await this.#send(stream, async () => {
      const answer = await this.#api.change(stream, { bandwidth });
      this.drafts.delete(stream.streamId);
      return answer;
    });
  }

  draft(stream: StreamStatus, text: string): void {
    this.drafts.set(stream.streamId, text);
    this.#store.notify();
  }

  dropDraft(stream: StreamStatus): void {
    this.drafts.delete(stream.streamId);
    this.#store.notify();
  }

  dismiss(id: string): void {
    this.problems.delete(id);
    this.#store.notify();
  }

  showMoreFinished(): void {
    this.finishedShown += finishedStep;
    this.#store.notify();
  }

  #send(stream: StreamStatus, request: () => Promise<StreamStatus | undefined>): Promise<void> {
    return this.#guard(stream.streamId, async () => {
      const status = await request();
      if (status?.streamId !== undefined) this.#store.apply(status);
    });
  }

  #endMigration({ migrationId }: Migration, storage: boolean): Promise<void> {
    return this.#guard(migrationId, async () => void this.#store.applyMigration(await this.#api.endMigration(migrationId, storage)));
  }

  /** One request at a time about each stream and migration; why it was refused is kept. */
  async #guard(id: string, work: () => Promise<void>): Promise<void> {
    if (this.busy.has(id)) return;
    this.busy.add(id);
    this.problems.delete(id);
    this.#store.notify();
    try {
      await work();
    } catch (error) {
      this.problems.set(id, problemOf(error));
    } finally {
      this.busy.delete(id);
      this.#store.notify();
    }
  }
}

const badBandwidth: Problem = {
  title: 'This is not a bandwidth',
  detail: 'Give MiB per second as a number, 0 or more; 0 sets no limit.',
};

function problemOf(error: unknown): Problem {
  return error instanceof ApiError ? error.problem : { title: 'Something went wrong in the page', detail: String(error) };
}
