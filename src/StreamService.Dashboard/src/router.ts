// The page's own addresses: behind the hash, so that they never meet those of the API and work under any path prefix. Pure but for Router.

export const pages = ['overview', 'streams', 'domains', 'deployments', 'migrations', 'hosts'] as const;
export type PageName = (typeof pages)[number];

export interface Route {
  /** `stream` is one of them, by its id. */
  readonly page: PageName | 'stream';
  /** Of the stream or migration that is looked at; empty for a list. */
  readonly id: string;
  readonly query: Readonly<Record<string, string>>;
}

/** `#/streams/{id}?q=web`; what is not understood is the overview. */
export function parseRoute(hash: string): Route {
  const [path = '', search = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [name = '', id = ''] = path.split('/').map(decode);
  const query = Object.fromEntries(new URLSearchParams(search));
  if (name === 'streams' && id !== '') return { page: 'stream', id, query };
  const page = pages.find((known) => known === name);
  return page === undefined ? { page: 'overview', id: '', query: {} } : { page, id, query };
}

/** @param query values that are empty are left out. */
export function href(page: PageName, id = '', query: Readonly<Record<string, string | undefined>> = {}): string {
  const pairs = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== '');
  const search = new URLSearchParams(pairs).toString();
  return `#/${page === 'overview' ? '' : page}${id === '' ? '' : `/${encodeURIComponent(id)}`}${search === '' ? '' : `?${search}`}`;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Tells which page is to be shown. */
export class Router {
  route: Route = parseRoute(location.hash);
  readonly #changed: (before: Route) => void;

  constructor(changed: (before: Route) => void) {
    this.#changed = changed;
    window.addEventListener('hashchange', () => this.#take());
  }

  go(address: string): void {
    location.hash = address;
  }

  /** Changes the address without an entry in the history: what somebody types into a search is no page of its own. */
  replace(address: string): void {
    history.replaceState(null, '', address);
    this.#take();
  }

  #take(): void {
    const before = this.route;
    this.route = parseRoute(location.hash);
    this.#changed(before);
  }
}
