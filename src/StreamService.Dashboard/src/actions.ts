import { ApiError, type Api } from './api.ts';
import { mebibytesToBandwidth } from './format.ts';
import type { Disk, Domain, Policy, Priority, Problem, StreamStatus } from './model.ts';
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

const finishedStep = 20;

/** What the person at the page does, and the page's own state that comes of it: nothing here is known to the service. */
export class Actions {
  form: StreamForm | undefined;
  /** The stream that was just started: its row is to be shown, once it is there. */
  started: string | undefined;
  finishedShown = finishedStep;
  /** By stream: what was typed as a bandwidth and not sent yet. */
  readonly drafts = new Map<string, string>();
  /** By stream: why the last request about it was refused. */
  readonly problems = new Map<string, Problem>();
  /** The streams with a request under way. */
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

  dismiss(stream: StreamStatus): void {
    this.problems.delete(stream.streamId);
    this.#store.notify();
  }

  showMoreFinished(): void {
    this.finishedShown += finishedStep;
    this.#store.notify();
  }

  async #send(stream: StreamStatus, request: () => Promise<StreamStatus | undefined>): Promise<void> {
    const { streamId } = stream;
    if (this.busy.has(streamId)) return;
    this.busy.add(streamId);
    this.problems.delete(streamId);
    this.#store.notify();
    try {
      const status = await request();
      if (status?.streamId !== undefined) this.#store.apply(status);
    } catch (error) {
      this.problems.set(streamId, problemOf(error));
    } finally {
      this.busy.delete(streamId);
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
