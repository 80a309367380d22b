import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import { budgetKey } from '../actions.ts';
import type { App, Page } from '../app.ts';
import { Feed, isReady } from '../feed.ts';
import { capitalize, formatBandwidth, formatBytes, formatRate, none, plural } from '../format.ts';
import type { Budget, Host } from '../model.ts';
import { href } from '../router.ts';
import { badge, empty, fact, pageHead, panel, problemNote } from '../views/parts.ts';
import { hostError } from './overview.ts';

const budgetsMs = 10_000;

const scopeWords: Record<Budget['scope'], string> = { service: 'all streams', host: 'host', source: 'source', label: 'label' };

/** The hosts, and what their streams share. */
export class HostsPage implements Page {
  readonly title = 'Hosts and budgets';
  readonly #budgets: Feed<readonly Budget[]>;

  constructor(app: App) {
    this.#budgets = new Feed(() => app.api.budgets(), () => budgetsMs, (fresh) => fresh && app.store.notify());
  }

  enter(): void {
    this.#budgets.start();
  }

  leave(): void {
    this.#budgets.stop();
  }

  refresh(): void {
    void this.#budgets.refresh();
  }

  view(app: App): TemplateResult {
    const admin = app.session.may('admin');
    const { value: hosts, problem } = app.hosts;
    if (!isReady([app.hosts, app.summary, this.#budgets])) return html`${pageHead('Hosts and budgets')}${empty('Loading…')}`;
    return html`
      ${pageHead('Hosts and budgets')}
      ${panel('hosts', 'Hosts', html`
        ${problemNote(problem, 'hosts-problem')}
        ${hosts === undefined ? empty(problem ? 'Not known yet.' : 'Loading…')
          : hosts.length === 0 ? empty('No host is configured.')
          : html`<ul class="rows">${repeat(hosts, ({ name }) => name, (host) => this.#host(app, host))}</ul>`}`)}
      ${panel('budgets', 'Budgets', this.#budgetList(app, admin),
        admin ? html`<button type="button" data-testid="btn-budget-new" @click=${() => app.actions.openBudget(undefined)}>New budget…</button>` : nothing)}`;
  }

  #host(app: App, host: Host): TemplateResult {
    const connected = host.state === 'connected';
    const error = hostError(host);
    const hypervisor = [host.hypervisor, host.hypervisorVersion].filter(Boolean).join(' ');
    const sums = app.summary.value?.hosts.find((sum) => sum.host === host.name);
    const live = sums === undefined ? 0 : sums.streams - sums.states.completed - sums.states.failed - sums.states.cancelled;
    return html`
      <li class="row host" data-testid="host-row" data-host=${host.name}>
        <div class="row-head">
          <strong>${host.name}</strong>
          ${badge(connected ? 'good' : 'bad', capitalize(host.state), 'host-state')}
          <span class="address">${host.uri}</span>
        </div>
        <dl class="facts numbers">
          ${fact('Hypervisor', hypervisor || none)}
          ${host.libvirtVersion ? fact('libvirt', host.libvirtVersion) : nothing}
          ${fact('Streams', html`<a href=${href('streams', '', { host: host.name })}>${live > 0 ? plural(live, 'active stream') : plural(sums?.streams ?? 0, 'stream')}</a>`)}
          ${fact('Rate', formatRate(sums?.bytesPerSecond ?? 0))}
          ${fact('Left', formatBytes(sums?.bytesRemaining ?? 0))}
        </dl>
        ${error ? html`<p class="row-reason" data-testid="host-error">${connected ? 'Last error: ' : ''}${error}</p>` : nothing}
      </li>`;
  }

  #budgetList(app: App, admin: boolean): TemplateResult {
    const { value, problem } = this.#budgets;
    if (value === undefined) return problem ? html`${problemNote(problem, 'budgets-problem')}` : empty('Loading…');
    if (value.length === 0) return empty('No budget limits what streams take together.', 'no-budgets');
    return html`
      ${problemNote(problem, 'budgets-problem')}
      <ul class="rows">
        ${repeat(value, ({ name }) => name, (budget) => this.#budget(app, budget, admin))}
      </ul>`;
  }

  #budget(app: App, budget: Budget, admin: boolean): TemplateResult {
    const key = budgetKey(budget.name);
    const remove = async () => {
      if (window.confirm(`End the budget ${budget.name}? Its streams then go as fast as everything else allows.`) && await app.actions.removeBudget(budget)) void this.#budgets.refresh();
    };
    return html`
      <li class="row" data-testid="budget-row" data-budget=${budget.name}>
        <div class="row-head">
          <strong>${budget.name}</strong>
          <span class="muted">${scopeWords[budget.scope]}${budget.match === null ? '' : ` ${budget.match}`}</span>
          ${admin && budget.origin === 'api' ? html`<span class="row-action">
            <button type="button" class="quiet" aria-label="Change ${budget.name}" data-testid="btn-budget-change" @click=${() => app.actions.openBudget(budget)}>Change…</button>
            <button type="button" class="quiet" aria-label="End ${budget.name}" data-testid="btn-budget-remove" @click=${() => void remove()}>End…</button>
          </span>` : html`<span class="row-action muted">${budget.origin === 'configuration' ? 'by configuration' : nothing}</span>`}
        </div>
        <dl class="facts numbers">
          ${fact('Now', formatBandwidth(budget.presentBytesPerSecond), 'budget-pace')}
          ${fact('Otherwise', formatBandwidth(budget.bytesPerSecond))}
          ${budget.windows.map((window) => fact(`${window.from} to ${window.to}`, formatBandwidth(window.bytesPerSecond), undefined, window.timeZone))}
          ${fact('Shared by', plural(budget.streams, 'stream'))}
        </dl>
        ${problemNote(app.actions.problems.get(key), 'budget-problem', () => app.actions.dismiss(key))}
      </li>`;
  }
}
