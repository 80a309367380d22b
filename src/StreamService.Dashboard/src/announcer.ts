import type { StreamStatus } from './model.ts';
import type { HubState, StateChange } from './store.ts';
import { describeState } from './streams.ts';

const lifetimeMs = 10_000;

/** Tells screen readers what happened, and only what matters: changes of state, never a tick of progress. */
export class Announcer {
  readonly #element: HTMLElement;

  /** @param element a polite live region, which is in the page from its start. */
  constructor(element: HTMLElement) {
    this.#element = element;
  }

  stream({ status }: StateChange): void {
    this.#say(`${name(status)}: ${status.state}. ${status.reason ?? status.error?.title ?? describeState(status.state)}`);
  }

  hub(state: HubState): void {
    this.#say(state === 'connected' ? 'Connected to the service again.' : 'The connection to the service is lost. Reconnecting.');
  }

  #say(text: string): void {
    const line = document.createElement('p');
    line.textContent = text;
    this.#element.append(line);
    setTimeout(() => line.remove(), lifetimeMs);
  }
}

function name(status: StreamStatus): string {
  return `Stream of ${status.domainName || status.domain} ${status.path}`;
}
