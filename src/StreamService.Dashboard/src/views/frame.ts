import { html, nothing, type TemplateResult } from 'lit-html';
import type { App } from '../app.ts';
import { isOver } from '../migrations.ts';
import { href, pages, type PageName } from '../router.ts';
import type { Session } from '../session.ts';
import type { HubState } from '../store.ts';
import { dialog } from './dialogs.ts';
import { icon } from './icons.ts';

const names: Record<PageName, string> = {
  overview: 'Overview', streams: 'Streams', domains: 'Domains', deployments: 'Deployments', migrations: 'Migrations', hosts: 'Hosts',
};

/** What is around every page: where one can go, whether what one sees is live, who one is. */
export function frame(app: App, content: TemplateResult): TemplateResult {
  const { page } = app.router.route;
  const current: PageName = page === 'stream' ? 'streams' : page;
  const moving = [...app.store.migrations.values()].filter(({ state }) => !isOver(state)).length;
  const badges: Partial<Record<PageName, number>> = { streams: app.summary.value?.attention ?? 0, migrations: moving };
  return html`
    <a class="skip" href="#page" @click=${skip}>Skip to the page</a>
    <div class="frame">
      <header class="side"><div class="side-inner">
        <a class="brand" href=${href('overview')}><img src="favicon.svg" alt="" width="26" height="26" /><span>StreamService</span></a>
        <nav aria-label="Pages">
          <ul>
            ${pages.map((name) => html`
              <li><a href=${href(name)} aria-current=${name === current ? 'page' : nothing} data-testid="nav-${name}">
                ${icon(name)}<span class="nav-name">${names[name]}</span>
                ${badges[name] ? html`<span class="nav-count number" data-tone=${name === 'streams' ? 'bad' : 'busy'}>${badges[name]!.toLocaleString('en-GB')}<span class="visually-hidden">
                  ${name === 'streams' ? ' need attention' : ' under way'}</span></span>` : nothing}
              </a></li>`)}
          </ul>
        </nav>
        <div class="side-foot">${connection(app.store.hub)}${who(app.session)}</div>
      </div></header>
      <main id="page" tabindex="-1" data-stale=${app.store.hub === 'reconnecting'}>
        ${app.store.hub === 'reconnecting' ? html`<p class="offline" role="status" data-testid="offline">The connection to the service is lost. This is the last that is known; the page keeps trying.</p>` : nothing}
        ${content}
      </main>
    </div>
    ${dialog(app)}`;
}

/** The address is the page's own; a fragment would take one elsewhere. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById('page')?.focus();
}

/** Nothing where nobody has to sign in. */
function who(session: Session): TemplateResult | typeof nothing {
  if (!session.caller.authenticationRequired) return nothing;
  const scopes = session.caller.scopes.join(', ') || 'nothing';
  return html`
    <div class="who" data-testid="who" title="May: ${scopes}">
      <span>${session.caller.caller}</span>
      <button type="button" class="quiet" data-testid="btn-sign-out" @click=${() => session.signOut()}>Sign out</button>
    </div>`;
}

const connectionWords: Record<HubState, { text: string; title: string }> = {
  connecting: { text: 'Connecting…', title: 'The page is connecting to the service.' },
  connected: { text: 'Live', title: 'Connected: what you see is live.' },
  reconnecting: { text: 'Reconnecting…', title: 'The connection is lost. What you see is the last that is known; the page keeps trying.' },
};

function connection(state: HubState): TemplateResult {
  const { text, title } = connectionWords[state];
  return html`<p class="hub" data-testid="hub-state" data-state=${state} title=${title}>${text}</p>`;
}
