import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import type { App, Page } from '../app.ts';
import { Feed, isReady } from '../feed.ts';
import { capitalize, formatBytes, formatDuration, formatRate, none, plural } from '../format.ts';
import type { Host, StreamStatus, Summary } from '../model.ts';
import { href } from '../router.ts';
import { describeSeries, Samples } from '../samples.ts';
import { allStates, explain } from '../streams.ts';
import { chart } from '../views/chart.ts';
import { badge, empty, pageHead, panel, problemNote, progressBar, properties, stateBadge, streamLink, time } from '../views/parts.ts';

const attentionShown = 8;
const runningShown = 6;
const slowMs = 10_000;
/** Ten minutes of one sample a second. */
const samplesKept = 600;
const span = 60;

/** What streams, what is stuck and why, at a glance. */
export class OverviewPage implements Page {
  readonly title = 'Overview';
  readonly #rates = new Samples(1, samplesKept, 1);
  readonly #attention: Feed<readonly StreamStatus[]>;
  readonly #running: Feed<readonly StreamStatus[]>;
  #settle: ReturnType<typeof setTimeout> | undefined;

  constructor(app: App) {
    const changed = (fresh: boolean) => fresh && app.store.notify();
    const take = (items: readonly StreamStatus[]) => {
      for (const status of items) app.store.apply(status);
      return items;
    };
    this.#attention = new Feed(async () =>
      take((await app.api.streams({ state: ['waiting', 'failed'], latest: true, sort: 'updated', limit: attentionShown })).items), () => slowMs, changed);
    this.#running = new Feed(async () =>
      take((await app.api.streams({ state: ['running', 'finalizing'], sort: 'eta', limit: runningShown })).items), () => slowMs, changed);
  }

  /** Every total that comes is a point of the chart. */
  sample({ bytesPerSecond }: Summary): void {
    this.#rates.add(Date.now() / 1000, [bytesPerSecond]);
  }

  enter(): void {
    this.#attention.start();
    this.#running.start();
  }

  leave(): void {
    this.#attention.stop();
    this.#running.stop();
  }

  refresh(): void {
    void this.#attention.refresh();
    void this.#running.refresh();
  }

  watched(): readonly string[] {
    return (this.#running.value ?? []).map(({ streamId }) => streamId);
  }

  onState(): void {
    clearTimeout(this.#settle);
    this.#settle = setTimeout(() => this.refresh(), 400);
  }

  view(app: App): TemplateResult {
    const { value: summary, problem } = app.summary;
    if (!isReady([app.summary, app.hosts, this.#attention, this.#running])) return html`${pageHead('Overview')}${empty('Loading…')}`;
    return html`
      ${pageHead('Overview')}
      ${problemNote(problem, 'summary-problem')}
      ${tiles(summary)}
      <div class="overview-grid">
        ${panel('attention', 'Needs attention', this.#attentionList(app), this.#attentionMore(summary))}
        ${panel('states', 'Streams by state', states(summary))}
        ${panel('rate', 'Rate', this.#chart(summary), html`<span class="panel-value number">${summary ? formatRate(summary.bytesPerSecond) : none}</span>`)}
        ${panel('running', 'Next to finish', this.#runningList(app), html`<a href=${href('streams', '', { state: 'running', sort: 'eta' })}>All running</a>`)}
        ${panel('hosts', 'Hosts', hostList(app.hosts.value, summary), html`<a href=${href('hosts')}>Hosts and budgets</a>`)}
      </div>`;
  }

  #chart(summary: Summary | undefined): TemplateResult {
    const words = describeSeries(this.#rates.values[0]!, formatRate);
    return html`
      <div class="chart" role="img" aria-label="Rate of all streams over time. ${words}" data-testid="rate-chart" data-height="210"
        data-points=${this.#rates.times.length} data-ready=${summary !== undefined}
        ${chart({ samples: this.#rates, series: 0, colour: '--accent', bytes: true, format: formatRate, span })}>
        <span class="readout number" aria-hidden="true"></span>
      </div>`;
  }

  #attentionMore(summary: Summary | undefined): unknown {
    const more = (summary?.attention ?? 0) - attentionShown;
    return more > 0 ? html`<a href=${href('streams', '', { show: 'attention' })}>All ${summary!.attention.toLocaleString('en-GB')}</a>` : nothing;
  }

  #attentionList(app: App): TemplateResult {
    const { value, problem } = this.#attention;
    const unreachable = (app.hosts.value ?? []).filter((host) => host.state === 'unreachable');
    if (value === undefined && unreachable.length === 0) return problem ? html`${problemNote(problem, 'attention-problem')}` : empty('Loading…');
    const streams = (value ?? []).map((status) => app.store.stream(status.streamId) ?? status)
      .filter(({ state }) => state === 'waiting' || state === 'failed');
    if (streams.length + unreachable.length === 0) return empty('Nothing waits, nothing failed, every host answers.', 'no-attention');
    return html`
      <ul class="rows attention" data-testid="attention-list">
        ${unreachable.map((host) => html`
          <li class="row">
            <div class="row-head"><a href=${href('hosts')}>${host.name}</a> ${badge('bad', 'Unreachable', 'attention-state')}</div>
            <p class="row-reason">${hostError(host) || 'The host does not answer.'}</p>
          </li>`)}
        ${repeat(streams, ({ streamId }) => streamId, (stream) => html`
          <li class="row" data-testid="attention-row" data-state=${stream.state}>
            <div class="row-head">${streamLink(stream)} ${stateBadge(stream.state)} <span class="muted row-time">${stream.host}, ${time(stream.updatedAt, true)}</span></div>
            <p class="row-reason">${explain(stream)}</p>
          </li>`)}
      </ul>`;
  }

  #runningList(app: App): TemplateResult {
    const { value, problem } = this.#running;
    if (value === undefined) return problem ? html`${problemNote(problem, 'running-problem')}` : empty('Loading…');
    const streams = value.map((status) => app.store.stream(status.streamId) ?? status);
    if (streams.length === 0) return empty('No stream runs.');
    return html`
      <ul class="rows">
        ${repeat(streams, ({ streamId }) => streamId, (stream) => html`
          <li class="row">
            <div class="row-head">${streamLink(stream)} <span class="muted row-time number">${stream.state === 'running'
              ? html`${formatRate(stream.bytesPerSecond)}, ${formatDuration(stream.etaSeconds)} left` : capitalize(stream.state)}</span></div>
            ${progressBar(stream, true)}
          </li>`)}
      </ul>`;
  }
}

export function hostError(host: Host): string {
  return (typeof host.lastError === 'string' ? host.lastError : (host.lastError?.detail ?? host.lastError?.title)) ?? '';
}

function tiles(summary: Summary | undefined): TemplateResult {
  const { states } = summary ?? {};
  const active = states === undefined ? 0 : states.running + states.finalizing + states.queued + states.paused + states.waiting;
  const number = (value: number | undefined) => (value === undefined ? none : value.toLocaleString('en-GB'));
  return html`
    <dl class="tiles" data-testid="overview">
      <div data-tone=${(summary?.attention ?? 0) > 0 ? 'bad' : ''}>
        <dt>Need attention</dt><dd data-testid="total-attention">${number(summary?.attention)}</dd>
        <dd class="tile-note">${states === undefined ? '' : `${number(states.waiting)} waiting`}</dd>
      </div>
      <div>
        <dt>Active streams</dt><dd data-testid="total-active">${summary === undefined ? none : number(active)}</dd>
        <dd class="tile-note">${states === undefined ? '' : `${number(states.running)} running, ${number(states.queued)} queued`}</dd>
      </div>
      <div>
        <dt>Streaming at</dt><dd data-testid="total-rate">${formatRate(summary?.bytesPerSecond)}</dd>
        <dd class="tile-note">all streams together</dd>
      </div>
      <div>
        <dt>Left to stream</dt><dd data-testid="total-remaining">${formatBytes(summary?.bytesRemaining)}</dd>
        <dd class="tile-note">holes do not count</dd>
      </div>
      <div>
        <dt>Time to the end</dt><dd data-testid="total-eta">${formatDuration(summary?.etaSeconds)}</dd>
        <dd class="tile-note">at the present rate</dd>
      </div>
    </dl>`;
}

function states(summary: Summary | undefined): TemplateResult {
  if (summary === undefined) return empty('Loading…');
  const most = Math.max(1, ...allStates.map((state) => summary.states[state]));
  return html`
    <ul class="bars" data-testid="state-bars">
      ${allStates.map((state) => html`
        <li>
          <a href=${href('streams', '', { state })}>${capitalize(state)}</a>
          <span class="bar-track" aria-hidden="true"><span class="bar" data-state=${state} ${properties({ '--share': String(summary.states[state] / most) })}></span></span>
          <span class="number">${summary.states[state].toLocaleString('en-GB')}</span>
        </li>`)}
    </ul>`;
}

function hostList(hosts: readonly Host[] | undefined, summary: Summary | undefined): TemplateResult {
  if (hosts === undefined) return empty('Loading…');
  if (hosts.length === 0) return empty('No host is configured.');
  return html`
    <ul class="rows">
      ${repeat(hosts, ({ name }) => name, (host) => {
        const sums = summary?.hosts.find((sum) => sum.host === host.name);
        const live = sums === undefined ? 0 : sums.streams - sums.states.completed - sums.states.failed - sums.states.cancelled;
        return html`
          <li class="row" data-testid="host-row" data-host=${host.name}>
            <div class="row-head">
              <a href=${href('streams', '', { host: host.name })}>${host.name}</a>
              ${badge(host.state === 'connected' ? 'good' : 'bad', capitalize(host.state), 'host-state')}
              <span class="muted host-sum number">${live > 0 ? html`${plural(live, 'active stream')}, ${formatRate(sums!.bytesPerSecond)}` : 'no active stream'}</span>
            </div>
          </li>`;
      })}
    </ul>`;
}
