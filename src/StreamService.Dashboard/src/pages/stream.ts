import { html, nothing, type TemplateResult } from 'lit-html';
import { live } from 'lit-html/directives/live.js';
import type { App, Page } from '../app.ts';
import { blockCount } from '../block-map.ts';
import { Feed, isReady } from '../feed.ts';
import {
  bandwidthToMebibytes, capitalize, formatBandwidth, formatBytes, formatDuration, formatMilliseconds, formatPercent, formatRate, formatSize, none, secondsBetween,
} from '../format.ts';
import type { Disk, DiskMap, Policy, Priority, StreamEvent, StreamStatus } from '../model.ts';
import { href, type Route } from '../router.ts';
import { describeSeries, Samples } from '../samples.ts';
import { currentRate, describeState, explain, isFinished, nameOf, progress } from '../streams.ts';
import { blockMap } from '../views/block-map.ts';
import { chain, layersOf, type Layer } from '../views/chain.ts';
import { chart } from '../views/chart.ts';
import { badge, empty, fact, pageHead, panel, problemNote, progressBar, properties, stateBadge, time } from '../views/parts.ts';

const statusMs = 10_000;
const diskMs = 10_000;
const mapMs = 1_500;
const samplesKept = 900;
const span = 30;
const eventsShown = 200;

/** One stream: the disk as it fills, how fast, what the guest feels, and what happened. */
export class StreamPage implements Page {
  title = 'Stream';
  #id = '';
  #status: Feed<StreamStatus>;
  #disk: Feed<Disk>;
  #map: Feed<DiskMap>;
  #events: Feed<readonly StreamEvent[]>;
  /** Rate, guest latency. */
  #samples = new Samples(2, samplesKept, 0.9);
  /** The chain when it was first seen: what is gone since is shown as dropped. */
  #chain: readonly Layer[] = [];
  #mapTook = 0;

  constructor(app: App) {
    const changed = (fresh: boolean) => fresh && app.store.notify();
    this.#status = new Feed(async () => {
      const status = await app.api.stream(this.#id);
      app.store.apply(status);
      return status;
    }, () => statusMs, changed);
    this.#disk = new Feed(() => app.api.disk(this.#address(app)), () => diskMs, changed);
    // A large disk's map takes its time; it is not asked for more than a fifth of that.
    this.#map = new Feed(async () => {
      const begun = performance.now();
      const disk = this.#address(app);
      const map = await app.api.map(disk, blockCount(this.#current(app)?.size ?? 0, this.#disk.value?.clusterSize));
      this.#mapTook = performance.now() - begun;
      return map;
    }, () => (this.#isAtWork(app) ? Math.max(mapMs, this.#mapTook * 5) : Infinity), changed);
    this.#events = new Feed(async () => (await app.api.events(this.#id, { limit: eventsShown })).items, () => Infinity, changed);
    app.store.onStatus((status) => {
      if (status.streamId === this.#id) this.#samples.add(Date.now() / 1000, [currentRate(status), status.guestLatencyMs ?? null]);
    });
  }

  enter(route: Route, app: App): void {
    if (route.id !== this.#id) {
      this.#id = route.id;
      for (const feed of [this.#status, this.#disk, this.#map, this.#events]) feed.reset();
      this.#samples.clear();
      this.#chain = [];
    }
    this.#status.start();
    this.#events.start();
    void this.#begin(app);
  }

  leave(): void {
    for (const feed of [this.#status, this.#disk, this.#map, this.#events]) feed.stop();
  }

  refresh(): void {
    for (const feed of [this.#status, this.#disk, this.#map, this.#events]) void feed.refresh();
  }

  watched(app: App): readonly string[] {
    const status = this.#current(app);
    return status === undefined || isFinished(status.state) ? [] : [this.#id];
  }

  onState(status: StreamStatus): void {
    if (status.streamId === this.#id) this.refresh();
  }

  view(app: App): TemplateResult {
    const stream = this.#current(app);
    if (stream === undefined || !isReady([this.#disk, this.#map, this.#events])) {
      return html`${pageHead('Stream')}${problemNote(this.#status.problem, 'stream-problem')}${this.#status.problem ? html`<p><a href=${href('streams')}>All streams</a></p>` : empty('Loading…')}`;
    }
    this.title = nameOf(stream);
    const finished = isFinished(stream.state);
    return html`
      <div class="stream-page" data-testid="stream-page" data-stream-id=${stream.streamId} data-state=${stream.state} aria-busy=${app.actions.busy.has(stream.streamId)}>
        <p class="crumb"><a href=${href('streams')}>Streams</a></p>
        ${pageHead(
          html`${stream.domainName || stream.domain} <span class="target">${stream.path}</span>`,
          html`${stateBadge(stream.state)} <span class="muted">on ${stream.host}, begun ${time(stream.createdAt)}</span>`,
          this.#buttons(app, stream))}
        ${problemNote(app.actions.problems.get(stream.streamId), 'stream-problem', () => app.actions.dismiss(stream.streamId))}
        ${this.#headline(stream, finished)}
        <div class="stream-grid">
          ${panel('map', 'Disk', this.#mapView(), html`<span class="panel-value number">${formatSize(stream.size)}</span>`, 'wide')}
          ${panel('chain', 'Layers', this.#chainView(stream))}
          ${panel('rate', 'Rate', this.#chartView(0, '--accent', true, 'Rate', formatRate),
            html`<span class="panel-value number">${finished ? none : formatRate(currentRate(stream))}</span>`)}
          ${panel('latency', 'Guest latency', this.#chartView(1, '--latency', false, 'Guest latency', formatMilliseconds),
            html`<span class="panel-value number" data-testid="guest-latency">${stream.guestLatencyMs === null || stream.guestLatencyMs === undefined ? quiet(stream) : formatMilliseconds(stream.guestLatencyMs)}</span>`)}
          ${panel('terms', 'Terms', this.#terms(app, stream, finished))}
          ${panel('budgets', 'Budgets', budgets(stream))}
          ${panel('events', 'Log', this.#log(), nothing, 'wide')}
        </div>
      </div>`;
  }

  #headline(stream: StreamStatus, finished: boolean): TemplateResult {
    const running = stream.state === 'running';
    const took = secondsBetween(stream.startedAt ?? stream.createdAt, stream.finishedAt);
    const tone = stream.error ? 'bad' : stream.state === 'waiting' ? 'warn' : '';
    return html`
      <section class="panel headline" aria-label="Progress">
        ${progressBar(stream)}
        <dl class="facts numbers">
          ${finished ? fact('Finished', time(stream.finishedAt), 'stream-finished') : fact('Rate', running ? formatRate(currentRate(stream)) : none, 'stream-rate')}
          ${finished ? fact('Took', formatDuration(took), 'stream-took') : fact('Time left', running ? formatDuration(stream.etaSeconds) : none, 'stream-eta')}
          ${fact('Streamed', formatBytes(stream.bytesStreamed), 'stream-streamed', 'Copied by this stream')}
          ${fact('Durable', formatBytes(stream.bytesDurable), 'stream-durable', 'Of those, what a crash can no longer undo')}
          ${fact('Remaining', formatBytes(stream.bytesRemaining), 'stream-remaining', 'Still only in the backing chain')}
          ${stream.nextAttemptAt ? fact('Next attempt', time(stream.nextAttemptAt), 'stream-next-attempt', `${stream.attempt} failed`) : nothing}
          ${stream.bootReadyAt ? fact('Boot data local', time(stream.bootReadyAt), 'stream-boot-ready', 'All that guests of this image read first was in the overlay')
            : stream.hotRemaining !== null && stream.hotRemaining !== undefined ? fact('Boot data left', formatBytes(stream.hotRemaining), 'stream-hot', 'Of what guests of this image read first')
            : nothing}
        </dl>
        <p class="reason" data-tone=${tone} data-testid=${stream.error ? 'stream-error' : 'stream-reason'} data-code=${stream.error?.code ?? ''}>${explain(stream)}</p>
        ${stream.engineReason ? html`<p class="muted">Engine ${stream.engine}: ${stream.engineReason}</p>` : nothing}
        ${stream.lastError && !stream.error && stream.state !== 'waiting' ? html`<p class="muted">Held up before: ${stream.lastError.detail}</p>` : nothing}
      </section>`;
  }

  #buttons(app: App, stream: StreamStatus): TemplateResult | typeof nothing {
    if (!app.session.may('streams:write')) return nothing;
    const { actions } = app;
    const busy = actions.busy.has(stream.streamId);
    const name = nameOf(stream);
    if (isFinished(stream.state)) {
      const disk = this.#disk.value;
      if (stream.state === 'completed' || !disk?.streamable) return nothing;
      const again = async () => actions.openStream(await app.api.domain(stream.domain), disk);
      return html`<button type="button" data-testid="btn-stream-again" @click=${() => void again().catch(() => {})}>Stream again…</button>`;
    }
    if (stream.state === 'finalizing') return nothing;
    // One button with two meanings: it keeps the focus when its meaning changes.
    const paused = stream.state === 'paused';
    return html`
      <button type="button" data-testid=${paused ? 'btn-resume' : 'btn-pause'} aria-label="${paused ? 'Resume' : 'Pause'} ${name}"
        aria-disabled=${busy} @click=${() => actions.setPaused(stream, !paused)}>${paused ? 'Resume' : 'Pause'}</button>
      <button type="button" data-testid="btn-cancel" aria-label="Cancel ${name}" aria-disabled=${busy}
        title="What was copied stays, and a later stream goes on from it" @click=${() => actions.cancel(stream)}>Cancel</button>`;
  }

  #mapView(): TemplateResult {
    const { value, problem } = this.#map;
    if (value !== undefined) return html`${blockMap(value)}${problem ? html`<p class="muted map-note">The last that is known: ${problem.detail ?? problem.title}</p>` : nothing}`;
    return problem ? html`<p class="empty" data-testid="map-problem">The map cannot be read now. ${problem.detail ?? problem.title ?? ''}</p>` : html`<div class="block-map ghost" aria-hidden="true"></div>`;
  }

  #chainView(stream: StreamStatus): TemplateResult {
    const disk = this.#disk.value;
    if (disk === undefined) return this.#disk.problem ? empty(this.#disk.problem.detail ?? this.#disk.problem.title) : empty('Loading…');
    const layers = layersOf(disk, this.#chain);
    if (this.#chain.length < layers.length) this.#chain = layers;
    const independent = layers.every((layer, index) => index === 0 || layer.dropped);
    const fraction = progress(stream);
    return html`
      ${chain(disk.target, layers, independent || isFinished(stream.state) || fraction === null ? '' : `${formatPercent(fraction)} copied`)}
      <p class="chain-note" data-testid="chain-note">${independent ? 'The disk is independent.' : stream.state === 'finalizing' ? 'The link is being dropped.' : 'The guest reads through the chain what is not in the overlay yet.'}</p>`;
  }

  #chartView(series: number, colour: string, bytes: boolean, name: string, format: (value: number) => string): TemplateResult {
    const words = describeSeries(this.#samples.values[series]!, format);
    return html`
      <div class="chart" role="img" aria-label="${name} since this page was opened. ${words}" data-height="150" data-points=${this.#samples.times.length}
        ${chart({ samples: this.#samples, series, colour, bytes, format, span })}><span class="readout number" aria-hidden="true"></span></div>`;
  }

  #terms(app: App, stream: StreamStatus, finished: boolean): TemplateResult {
    const { actions } = app;
    const busy = actions.busy.has(stream.streamId);
    const more = html`
      ${stream.engine ? fact('Engine', capitalize(stream.engine)) : nothing}
      ${stream.order ? fact('Order', stream.order === 'hotFirst' ? 'Hot data first' : 'Sequential') : nothing}
      ${stream.onError ? fact('On errors', stream.onError === 'report' ? 'Fails' : 'Waits and retries') : nothing}
      ${stream.targetLatencyMs ? fact('Target latency', formatMilliseconds(stream.targetLatencyMs)) : nothing}
      ${stream.base ? fact('Stays', stream.base) : nothing}`;
    if (finished || stream.state === 'finalizing' || !app.session.may('streams:write')) {
      return html`
        <dl class="facts">
          ${fact('Limit', formatBandwidth(stream.bandwidth))}
          ${fact('Policy', capitalize(stream.policy ?? none))}
          ${fact('Priority', capitalize(stream.priority ?? none))}
          ${more}
        </dl>`;
    }
    const text = () => actions.drafts.get(stream.streamId) ?? bandwidthToMebibytes(stream.bandwidth);
    const submit = (event: SubmitEvent) => {
      event.preventDefault();
      // Asked for now: what was typed since the last frame counts as well.
      void actions.setBandwidth(stream, text());
    };
    return html`
      <form class="terms" @submit=${submit} novalidate>
        <div class="field">
          <label for="bandwidth">Limit in MiB per second</label>
          <div class="with-button">
            <input id="bandwidth" data-testid="bandwidth-input" type="text" inputmode="decimal" autocomplete="off" aria-describedby="bandwidth-hint" .value=${live(text())}
              @input=${(event: Event) => actions.draft(stream, (event.target as HTMLInputElement).value)}
              @keydown=${(event: KeyboardEvent) => event.key === 'Escape' && actions.dropDraft(stream)} />
            <button type="submit" data-testid="btn-bandwidth" aria-disabled=${busy}>Set</button>
          </div>
          <p class="hint" id="bandwidth-hint">Now ${formatBandwidth(stream.bandwidth)}; 0 sets no limit.</p>
        </div>
        <div class="field">
          <label for="policy">Policy</label>
          <select id="policy" data-testid="policy-select" @change=${(event: Event) => actions.change(stream, { policy: (event.target as HTMLSelectElement).value as Policy })}>
            <option value="adaptive" ?selected=${stream.policy === 'adaptive'}>Adaptive: gives way to the guest</option>
            <option value="fixed" ?selected=${stream.policy === 'fixed'}>Fixed: holds its pace</option>
          </select>
        </div>
        <div class="field">
          <label for="priority">Priority</label>
          <select id="priority" data-testid="priority-select" @change=${(event: Event) => actions.change(stream, { priority: (event.target as HTMLSelectElement).value as Priority })}>
            ${(['low', 'normal', 'high'] as const).map((value) => html`<option value=${value} ?selected=${stream.priority === value}>${capitalize(value)}</option>`)}
          </select>
        </div>
      </form>
      <dl class="facts">${more}</dl>`;
  }

  #log(): TemplateResult {
    const { value, problem } = this.#events;
    if (value === undefined) return problem ? empty('The log cannot be read now.') : empty('Loading…');
    if (value.length === 0) return empty('No event is on record.');
    return html`
      <ol class="log" data-testid="event-log" reversed>
        ${[...value].reverse().map((event) => html`
          <li data-testid="event" data-state=${event.state}>
            <span class="number log-time">${time(event.time)}</span>
            ${badge(event.state === 'failed' ? 'bad' : event.state === 'waiting' ? 'warn' : event.state === 'completed' ? 'good' : event.state === 'running' || event.state === 'finalizing' ? 'busy' : 'calm', capitalize(event.state), 'event-state')}
            <span class="log-text">${event.error?.detail ?? event.reason ?? describeState(event.state)}</span>
          </li>`)}
      </ol>`;
  }

  #current(app: App): StreamStatus | undefined {
    return app.store.stream(this.#id) ?? this.#status.value;
  }

  #isAtWork(app: App): boolean {
    const state = this.#current(app)?.state;
    return state === 'running' || state === 'finalizing';
  }

  #address(app: App): { domain: string; path: string } {
    const { domain = '', path = '' } = this.#current(app) ?? {};
    return { domain, path };
  }

  /** The disk and its map, once it is known whose they are. */
  async #begin(app: App): Promise<void> {
    const id = this.#id;
    if (this.#current(app) === undefined) {
      try {
        app.store.apply(await app.api.stream(id));
      } catch {
        return;
      }
    }
    if (id !== this.#id || app.router.route.id !== id) return;
    this.#disk.start();
    this.#map.start();
  }
}

function quiet(stream: StreamStatus): string {
  return stream.policy === 'fixed' || stream.state !== 'running' ? none : 'quiet';
}

function budgets(stream: StreamStatus): TemplateResult {
  const shares = stream.budgets ?? [];
  if (shares.length === 0) return empty(stream.state === 'running' ? 'No budget is on its way.' : 'Shares are taken while it runs.');
  return html`
    <ul class="bars budgets" data-testid="budget-shares">
      ${shares.map(({ name, bytesPerSecond, share }) => html`
        <li>
          <span class="bar-name">${name}</span>
          <span class="bar-track" aria-hidden="true"><span class="bar" data-state="running" ${properties({ '--share': String(bytesPerSecond > 0 ? share / bytesPerSecond : 1) })}></span></span>
          <span class="number">${bytesPerSecond === 0 ? 'unlimited' : `${formatRate(share)} of ${formatBandwidth(bytesPerSecond)}`}</span>
        </li>`)}
    </ul>`;
}
