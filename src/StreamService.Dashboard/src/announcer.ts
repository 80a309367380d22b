import type { StreamStatus } from './model.ts';
import type { HubState } from './store.ts';
import { describeState, nameOf } from './streams.ts';

const lifetimeMs = 10_000;
/** More at once are no news but noise. */
const mostLines = 4;

/** Tells screen readers what happened, and only what matters: changes of state, never a tick of progress. */
export class Announcer {
  readonly #element: HTMLElement;

  /** @param element a polite live region, which is in the page from its start. */
  constructor(element: HTMLElement) {
    this.#element = element;
  }

  stream(status: StreamStatus): void {
    this.say(`Stream of ${nameOf(status)}: ${status.state}. ${status.reason ?? status.error?.title ?? describeState(status.state)}`);
  }

  hub(state: HubState): void {
    this.say(state === 'connected' ? 'Connected to the service again.' : 'The connection to the service is lost. Reconnecting.');
  }

  say(text: string): void {
    if (this.#element.childElementCount >= mostLines) return;
    const line = document.createElement('p');
    line.textContent = text;
    this.#element.append(line);
    setTimeout(() => line.remove(), lifetimeMs);
  }
}
