import { render } from 'lit-html';
import { Actions } from './actions.ts';
import { Announcer } from './announcer.ts';
import { Api } from './api.ts';
import type { App, Page } from './app.ts';
import { Feed } from './feed.ts';
import { keepFocus } from './focus.ts';
import { Hub } from './hub.ts';
import type { Host, Summary } from './model.ts';
import { DeploymentsPage } from './pages/deployments.ts';
import { DomainsPage } from './pages/domains.ts';
import { HostsPage } from './pages/hosts.ts';
import { MigrationsPage } from './pages/migrations.ts';
import { OverviewPage } from './pages/overview.ts';
import { StreamPage } from './pages/stream.ts';
import { StreamsPage } from './pages/streams.ts';
import { href, Router, type Route } from './router.ts';
import { Session } from './session.ts';
import { Store } from './store.ts';
import { showDialog } from './views/dialogs.ts';
import { frame } from './views/frame.ts';
import { signInView } from './views/sign-in.ts';

/** Progress arrives faster than anybody can read it: the page is drawn at most this often. */
const drawIntervalMs = 200;
const hostsMs = 5_000;
/** Totals while something moves, and while nothing does. */
const movingMs = 2_000;
const restingMs = 10_000;
const settleMs = 500;

const root = document.getElementById('app')!;
const announcer = new Announcer(document.getElementById('announcer')!);
const api = new Api();
const store = new Store();
const session = new Session(api, () => store.notify());
const actions = new Actions(api, store);
const router = new Router((before) => turn(before));

const hosts = new Feed<readonly Host[]>(() => api.hosts(), () => hostsMs, (fresh) => fresh && store.notify());
const summary = new Feed<Summary>(
  () => api.summary(),
  (sums) => (sums !== undefined && sums.bytesPerSecond > 0 ? movingMs : restingMs),
  (fresh) => {
    if (summary.value !== undefined && summary.problem === undefined) overview.sample(summary.value);
    if (fresh || router.route.page === 'overview') store.notify();
  });
const hub = new Hub(store, () => {
  void hosts.refresh();
  void summary.refresh();
  page.refresh();
});
const app: App = { api, store, hub, actions, session, router, hosts, summary, redraw };

const overview = new OverviewPage(app);
const pages: Record<Route['page'], Page> = {
  overview,
  streams: new StreamsPage(app),
  stream: new StreamPage(app),
  domains: new DomainsPage(app),
  deployments: new DeploymentsPage(app),
  migrations: new MigrationsPage(app),
  hosts: new HostsPage(app),
};
let page = pages[router.route.page];
let started = false;

let scheduled = false;
let drawnAt = -Infinity;

function draw(): void {
  scheduled = false;
  drawnAt = performance.now();
  if (session.signInNeeded) {
    keepFocus(root, () => render(signInView(session, () => void signIn(), () => store.notify()), root));
    return;
  }
  keepFocus(root, () => render(frame(app, page.view(app)), root));
  showDialog(root, actions.open);
  document.title = `${page.title} · StreamService`;
  hub.watch(page.watched?.(app) ?? []);
}

/** With the next frame, whatever was drawn lately. */
function redraw(): void {
  if (!scheduled) requestAnimationFrame(draw);
  scheduled = true;
}

store.subscribe(() => {
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => requestAnimationFrame(draw), Math.max(0, drawnAt + drawIntervalMs - performance.now()));
});

let hubState = store.hub;
store.subscribe(() => {
  if (store.hub === hubState) return;
  // The first connection is no news.
  if (hubState !== 'connecting') announcer.hub(store.hub);
  hubState = store.hub;
});

let settle: ReturnType<typeof setTimeout> | undefined;
store.onStateChange(({ status, from }) => {
  // What a page has just fetched is no news either.
  if (from !== undefined && hub.watched.includes(status.streamId)) announcer.stream(status);
  if (store.hub !== 'connected') return;
  page.onState?.(status, app);
  clearTimeout(settle);
  settle = setTimeout(() => void summary.refresh(), settleMs);
});

actions.onStarted = ({ stream, migration, domain, budget }) => {
  if (stream !== undefined) router.go(href('streams', stream));
  else if (migration !== undefined) router.go(href('migrations'));
  else if (domain !== undefined) {
    router.go(href('deployments'));
    page.onDeployed?.(domain, app);
  } else if (budget !== undefined) page.refresh();
};

/** Another page, or the same with another address. */
function turn(before: Route): void {
  if (!started) return;
  const next = pages[router.route.page];
  const other = next !== page || before.id !== router.route.id;
  if (next !== page) page.leave(app);
  page = next;
  page.enter(router.route, app);
  if (other) {
    actions.closeForm();
    window.scrollTo({ top: 0 });
  }
  draw();
  // A page that was chosen is read from its title on.
  if (other) document.getElementById('page-title')?.focus({ preventScroll: true });
}

// A session that ended, by its time or by its key: the page begins anew, with the question for another.
api.onSignedOut = () => {
  if (!session.signInNeeded) location.reload();
};

async function signIn(): Promise<void> {
  if (await session.signIn()) start();
}

function start(): void {
  started = true;
  hub.start();
  hosts.start();
  summary.start();
  page.enter(router.route, app);
  draw();
}

await session.load();
draw();
if (!session.signInNeeded) start();
