import type { Actions } from '../actions.ts';
import type { Poller } from '../poller.ts';
import type { Session } from '../session.ts';
import type { Store } from '../store.ts';

/** What every view gets: the state to show, and whom to tell what the person does. */
export interface Context {
  readonly store: Store;
  readonly actions: Actions;
  readonly poller: Poller;
  readonly session: Session;
}
