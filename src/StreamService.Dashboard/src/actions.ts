import { problemOf, type Api } from './api.ts';
import { mebibytesToBandwidth } from './format.ts';
import { BudgetForm, DeployForm, MigrationForm, StreamForm } from './forms.ts';
import type { Budget, Domain, Disk, Image, Migration, Problem, StreamChange, StreamStatus } from './model.ts';
import type { Store } from './store.ts';

/** The dialog that is open. */
export type OpenForm =
  | { readonly kind: 'stream'; readonly form: StreamForm }
  | { readonly kind: 'migration'; readonly form: MigrationForm }
  | { readonly kind: 'deploy'; readonly form: DeployForm }
  | { readonly kind: 'budget'; readonly form: BudgetForm };

/** What the person at the page does, and the page's own state that comes of it: nothing here is known to the service. */
export class Actions {
  open: OpenForm | undefined;
  /** By stream: what was typed as a bandwidth and not sent yet. */
  readonly drafts = new Map<string, string>();
  /** By stream, migration, domain or budget: why the last request about it was refused. */
  readonly problems = new Map<string, Problem>();
  /** The streams, migrations, domains and budgets with a request under way. */
  readonly busy = new Set<string>();
  /** Called when something was begun, with the address of the page where it is watched. */
  onStarted: (what: { stream?: string; migration?: string; domain?: Domain; budget?: string }) => void = () => {};

  readonly #api: Api;
  readonly #store: Store;

  constructor(api: Api, store: Store) {
    this.#api = api;
    this.#store = store;
  }

  openStream(domain: Domain, disk: Disk): void {
    this.#show({ kind: 'stream', form: new StreamForm(domain, disk) });
  }

  openMigration(domains: readonly Domain[], destinations: (domain: Domain) => readonly string[]): void {
    this.#show({ kind: 'migration', form: new MigrationForm(domains, destinations) });
  }

  openDeploy(image: Image | undefined, images: readonly Image[], hosts: readonly string[]): void {
    this.#show({ kind: 'deploy', form: new DeployForm(image, images, hosts) });
  }

  openBudget(budget: Budget | undefined): void {
    this.#show({ kind: 'budget', form: new BudgetForm(budget) });
  }

  closeForm(): void {
    if (this.open === undefined) return;
    this.open = undefined;
    this.#store.notify();
  }

  /** Sends what the open form says. Faults that the page sees itself are told without asking the service. */
  async submit(): Promise<void> {
    const open = this.open;
    if (open === undefined || open.form.busy) return;
    open.form.problem = open.form.check();
    if (open.form.problem !== undefined) {
      this.#store.notify();
      return;
    }
    open.form.busy = true;
    this.#store.notify();
    try {
      await this.#send(open);
      // Unless somebody closed the form meanwhile, and looks at something else.
      if (this.open === open) this.open = undefined;
    } catch (error) {
      open.form.problem = problemOf(error);
    } finally {
      open.form.busy = false;
      this.#store.notify();
    }
  }

  setPaused(stream: StreamStatus, paused: boolean): Promise<void> {
    return this.change(stream, { state: paused ? 'paused' : 'running' });
  }

  change(stream: StreamStatus, change: StreamChange): Promise<void> {
    return this.#about(stream, () => this.#api.change(stream, change));
  }

  cancel(stream: StreamStatus): Promise<void> {
    return this.#about(stream, () => this.#api.cancel(stream));
  }

  async setBandwidth(stream: StreamStatus, text: string): Promise<void> {
    const bandwidth = mebibytesToBandwidth(text);
    if (bandwidth === null) {
      this.problems.set(stream.streamId, { title: 'This is not a bandwidth', detail: 'Give MiB per second as a number, 0 or more; 0 sets no limit.' });
      this.#store.notify();
      return;
    }
    await this.#about(stream, async () => {
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

  cancelMigration(migration: Migration): Promise<void> {
    return this.#endMigration(migration, false);
  }

  deleteLeft(migration: Migration): Promise<void> {
    return this.#endMigration(migration, true);
  }

  /** @returns whether it is gone. */
  async removeDomain(domain: Domain, storage: boolean): Promise<boolean> {
    return this.#guard(domain.id, () => this.#api.removeDomain(domain.id, storage));
  }

  async removeBudget(budget: Budget): Promise<boolean> {
    return this.#guard(budgetKey(budget.name), () => this.#api.removeBudget(budget.name));
  }

  async #send(open: OpenForm): Promise<void> {
    switch (open.kind) {
      case 'stream': {
        const status = await this.#api.start(open.form.address, open.form.request());
        this.#store.apply(status);
        if (this.open === open) this.onStarted({ stream: status.streamId });
        return;
      }
      case 'migration': {
        const migration = await this.#api.migrate(open.form.domain.id, open.form.request());
        this.#store.applyMigration(migration);
        if (this.open === open) this.onStarted({ migration: migration.migrationId });
        return;
      }
      case 'deploy':
        this.onStarted({ domain: await this.#api.deploy(open.form.request()) });
        return;
      case 'budget': {
        await this.#api.putBudget(open.form.name, open.form.request());
        this.onStarted({ budget: open.form.name });
      }
    }
  }

  #show(open: OpenForm): void {
    this.open = open;
    this.#store.notify();
  }

  async #about(stream: StreamStatus, request: () => Promise<StreamStatus | undefined>): Promise<void> {
    await this.#guard(stream.streamId, async () => {
      const status = await request();
      if (status?.streamId !== undefined) this.#store.apply(status);
    });
  }

  async #endMigration({ migrationId }: Migration, storage: boolean): Promise<void> {
    await this.#guard(migrationId, async () => void this.#store.applyMigration(await this.#api.endMigration(migrationId, storage)));
  }

  /** One request at a time about each thing; why it was refused is kept. */
  async #guard(id: string, work: () => Promise<void>): Promise<boolean> {
    if (this.busy.has(id)) return false;
    this.busy.add(id);
    this.problems.delete(id);
    this.#store.notify();
    try {
      await work();
      return true;
    } catch (error) {
      this.problems.set(id, problemOf(error));
      return false;
    } finally {
      this.busy.delete(id);
      this.#store.notify();
    }
  }
}

export function budgetKey(name: string): string {
  return `budget ${name}`;
}
