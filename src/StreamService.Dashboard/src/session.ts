import { ApiError, type Api } from './api.ts';
import type { Caller, Problem, Scope } from './model.ts';

/** Who looks at the page. The key itself is not kept: the service answers it with a cookie that no script can read. */
export class Session {
  caller: Caller = { authenticationRequired: false, caller: null, scopes: ['admin'] };
  draft = '';
  busy = false;
  problem: Problem | undefined;

  readonly #api: Api;
  readonly #changed: () => void;

  constructor(api: Api, changed: () => void) {
    this.#api = api;
    this.#changed = changed;
  }

  get signInNeeded(): boolean {
    return this.caller.authenticationRequired && this.caller.caller === null;
  }

  /** Whether the service would take such a call of this caller. */
  may(scope: Scope): boolean {
    return this.caller.scopes.includes(scope) || this.caller.scopes.includes('admin');
  }

  /** A service that cannot be reached asks for nothing yet; once it can, its first refusal brings the page back here. */
  async load(): Promise<void> {
    try {
      this.caller = await this.#api.session();
    } catch {
      // The page says so itself.
    }
  }

  async signIn(): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.problem = undefined;
    this.#changed();
    try {
      this.caller = await this.#api.signIn(this.draft.trim());
      this.draft = '';
      return true;
    } catch (error) {
      this.problem = error instanceof ApiError ? error.problem : { title: 'Something went wrong in the page', detail: String(error) };
      return false;
    } finally {
      this.busy = false;
      this.#changed();
    }
  }

  async signOut(): Promise<void> {
    try {
      await this.#api.signOut();
    } finally {
      // A new page knows nothing of what this one has shown.
      location.reload();
    }
  }
}
