import { render } from 'lit-html';
import { Actions } from './actions.ts';
import { Announcer } from './announcer.ts';
import { Api } from './api.ts';
import { keepFocus } from './focus.ts';
import { Hub } from './hub.ts';
import { Poller } from './poller.ts';
import { Session } from './session.ts';
import { Store } from './store.ts';
import { page } from './views/page.ts';
import { signInView } from './views/sign-in.ts';
import { showMigrationForm } from './views/migration-form.ts';
import { showStreamForm } from './views/stream-form.ts';

/** Progress arrives faster than anybody can read it: the page is drawn at most this often. */
const drawIntervalMs = 100;

const root = document.getElementById('app')!;
const announcer = new Announcer(document.getElementById('announcer')!);
const api = new Api();
const store = new Store();
const session = new Session(api, () => store.notify());
const actions = new Actions(api, store);
const poller = new Poller(api, store);
const hub = new Hub(store, () => void poller.confirmStreams());

let scheduled = false;
let drawnAt = -Infinity;

function draw(): void {
  scheduled = false;
  drawnAt = performance.now();
  if (session.signInNeeded) {
    keepFocus(root, () => render(signInView(session, () => void signIn(), () => store.notify()), root));
    return;
  }
  keepFocus(root, () => render(page({ store, actions, poller, session }), root));
  showStreamForm(root, actions.form);
  showMigrationForm(root, actions.migrationForm);
  if (actions.started !== undefined) {
    document.getElementById(`stream-${actions.started}`)?.focus();
    actions.started = undefined;
  }
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
store.onStateChange((change) => announcer.stream(change));

// A session that ended, by its time or by its key: the page begins anew, with the question for another.
api.onSignedOut = () => {
  if (!session.signInNeeded) location.reload();
};

async function signIn(): Promise<void> {
  if (await session.signIn()) start();
}

function start(): void {
  hub.start();
  poller.start();
}

await session.load();
draw();
if (!session.signInNeeded) start();
