import { html, nothing, type TemplateResult } from 'lit-html';
import { formatBytes, formatRate } from '../format.ts';
import type { Session } from '../session.ts';
import type { HubState } from '../store.ts';
import { group, newestByDisk, totals, type StreamGroups } from '../streams.ts';
import type { Context } from './context.ts';
import { domainsView } from './domains.ts';
import { hostsView } from './hosts.ts';
import { migrationForm } from './migration-form.ts';
import { migrationsView } from './migrations.ts';
import { streamForm } from './stream-form.ts';
import { streamsView } from './streams.ts';

/** The whole page, drawn from what is known now. */
export function page(context: Context): TemplateResult {
  const { store } = context;
  const groups = group(store.streams.values());
  return html`
    <a class="skip" href="#streams">Skip to the streams</a>
    <header class="top">
      <div class="bar">
        <h1><img src="favicon.svg" alt="" width="24" height="24" />StreamService</h1>
        <nav aria-label="Sections">
          ${store.migrations.size > 0 ? html`<a href="#migrations">Migrations</a>` : ''}<a href="#streams">Streams</a><a href="#domains">Domains</a><a href="#hosts">Hosts</a>
        </nav>
        ${connection(store.hub)}
        ${who(context.session)}
      </div>
    </header>
    <main data-stale=${store.hub === 'reconnecting'}>
      ${overview(groups)}
      <div class="columns">
        <div>
          ${migrationsView(context)}
          ${streamsView(context, groups)}
          ${domainsView(context, newestByDisk(store.streams.values()))}
        </div>
        ${hostsView(store.hosts)}
      </div>
    </main>
    ${streamForm(context)}
    ${migrationForm(context)}`;
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
  connected: { text: 'Connected', title: 'What you see is live.' },
  reconnecting: {
    text: 'Reconnecting…',
    title: 'The connection is lost. What you see is the last that is known; the page keeps trying.',
  },
};

function connection(state: HubState): TemplateResult {
  const { text, title } = connectionWords[state];
  return html`<p class="hub" data-testid="hub-state" data-state=${state} title=${title}>${text}</p>`;
}

function overview(groups: StreamGroups): TemplateResult {
  const { attention, active, bytesPerSecond, bytesRemaining } = totals(groups);
  return html`
    <dl class="overview" data-testid="overview">
      <div data-tone=${attention > 0 ? 'bad' : ''}>
        <dt>Need attention</dt><dd data-testid="total-attention">${attention}</dd>
      </div>
      <div><dt>Active streams</dt><dd data-testid="total-active">${active}</dd></div>
      <div><dt>Streaming at</dt><dd data-testid="total-rate">${formatRate(bytesPerSecond)}</dd></div>
      <div><dt>Left to stream</dt><dd data-testid="total-remaining">${formatBytes(bytesRemaining)}</dd></div>
    </dl>`;
}
