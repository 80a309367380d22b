import type { TemplateResult } from 'lit-html';
import type { Actions } from './actions.ts';
import type { Api } from './api.ts';
import type { Feed } from './feed.ts';
import type { Hub } from './hub.ts';
import type { Domain, Host, StreamStatus, Summary } from './model.ts';
import type { Route, Router } from './router.ts';
import type { Session } from './session.ts';
import type { Store } from './store.ts';

/** What every page gets: the state to show, whom to ask, and whom to tell what the person does. */
export interface App {
  readonly api: Api;
  readonly store: Store;
  readonly hub: Hub;
  readonly actions: Actions;
  readonly session: Session;
  readonly router: Router;
  /** All hosts, while somebody looks. */
  readonly hosts: Feed<readonly Host[]>;
  /** What all streams add up to, while somebody looks. */
  readonly summary: Feed<Summary>;
  /** Draws with the next frame: what is in sight has moved. */
  redraw(): void;
}

/** One page. It lives as long as the app; what it fetches, it fetches only between `enter` and `leave`. */
export interface Page {
  /** For the tab. */
  readonly title: string;
  /** Called when the page comes into sight, and again when its address changes. */
  enter(route: Route, app: App): void;
  leave(app: App): void;
  view(app: App): TemplateResult;
  /** The connection is back: what was missed is to be fetched. */
  refresh(): void;
  /** The streams whose progress is wanted. */
  watched?(app: App): readonly string[];
  /** A stream has entered a state, whether the page shows it or not. */
  onState?(status: StreamStatus, app: App): void;
  /** A domain has been deployed. */
  onDeployed?(domain: Domain, app: App): void;
}

/** Where a running domain can be migrated to: from the service's own machine to any other libvirt host. */
export function destinationsOf(domain: Domain, { hosts, store }: App, isOver: (state: string) => boolean): readonly string[] {
  const own = hosts.value?.find((host) => host.name === domain.host);
  if (domain.state !== 'running' || !own?.uri.startsWith('qemu:///')) return [];
  if ([...store.migrations.values()].some((migration) => migration.domain === domain.id && !isOver(migration.state))) return [];
  return (hosts.value ?? [])
    .filter((host) => host.name !== domain.host && host.state === 'connected' && host.uri.startsWith('qemu'))
    .map((host) => host.name);
}
