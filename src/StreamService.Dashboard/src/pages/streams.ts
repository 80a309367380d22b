import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import type { App, Page } from '../app.ts';
import { Feed } from '../feed.ts';
import { capitalize, formatBytes, formatDuration, formatRate, none } from '../format.ts';
import type { SortDirection, StreamQuery, StreamSort, StreamState, StreamStatus, Summary } from '../model.ts';
import { href, type Route } from '../router.ts';
import { StreamList } from '../stream-list.ts';
import { allStates, explain, isFinished } from '../streams.ts';
import { rowsInSight, type RowWindow } from '../virtual.ts';
import { empty, pageHead, problemNote, progressBar, properties, stateBadge, streamLink, time } from '../views/parts.ts';

const searchDelayMs = 250;
/** Many streams may change at once: the list is read anew for all of them together. */
const settleMs = 1_000;
const totalsMs = 5_000;

const columns: readonly { readonly sort?: StreamSort; readonly text: string; readonly name: string }[] = [
  { sort: 'name', text: 'Stream', name: 'stream' },
  { text: 'State', name: 'state' },
  { sort: 'remaining', text: 'Progress', name: 'progress' },
  { sort: 'rate', text: 'Rate', name: 'rate' },
  { sort: 'eta', text: 'Time left', name: 'eta' },
  { sort: 'host', text: 'Host', name: 'host' },
  { sort: 'created', text: 'Begun', name: 'created' },
];

const sortWords: Record<StreamSort, string> = {
  created: 'newest first', updated: 'last changed first', name: 'by name', host: 'by host', rate: 'fastest first', eta: 'soonest end first', remaining: 'most left first',
};

/** The direction that the service takes where none is given. */
const descending: ReadonlySet<StreamSort> = new Set(['created', 'updated', 'rate', 'remaining']);

/** All streams: searched, filtered and sorted by the service; only the rows in sight are in the page. */
export class StreamsPage implements Page {
  readonly title = 'Streams';
  readonly #list: StreamList;
  /** Of the streams that are asked for, where those are not all. */
  readonly #totals: Feed<Summary>;
  #query: Route['query'] = {};
  /** What all streams add up to, as it was when the page was drawn last. */
  #all: Summary | undefined;
  #search = '';
  #window: RowWindow = { first: 0, end: 0 };
  #inSight: readonly string[] = [];
  #searchTimer: ReturnType<typeof setTimeout> | undefined;
  #settleTimer: ReturnType<typeof setTimeout> | undefined;
  #redraw: () => void = () => {};
  /** Begun since the list was read, while somebody looks further down. */
  #newer = new Set<string>();
  readonly #onScroll = () => this.#measure() && this.#redraw();

  constructor(app: App) {
    this.#list = new StreamList(app.api, (status) => void app.store.apply(status), () => app.store.notify());
    this.#totals = new Feed(() => app.api.summary({ host: this.#query['host'], q: this.#query['q'] }), () => totalsMs, (fresh) => fresh && app.store.notify());
  }

  enter(route: Route, app: App): void {
    this.#redraw = () => app.redraw();
    const again = JSON.stringify(route.query) === JSON.stringify(this.#query) && this.#list.loaded;
    this.#query = route.query;
    if (document.activeElement?.id !== 'stream-search') this.#search = route.query['q'] ?? '';
    if (!again) this.#totals.reset();
    if (this.#isNarrowed) {
      this.#totals.start();
      void this.#totals.refresh();
    } else this.#totals.stop();
    this.#newer.clear();
    if (again) this.#list.reload();
    else {
      if (this.#list.loaded) window.scrollTo({ top: 0 });
      this.#list.open(this.#asked());
    }
    window.addEventListener('scroll', this.#onScroll, { passive: true });
    window.addEventListener('resize', this.#onScroll, { passive: true });
  }

  leave(app: App): void {
    this.#totals.stop();
    clearTimeout(this.#searchTimer);
    clearTimeout(this.#settleTimer);
    window.removeEventListener('scroll', this.#onScroll);
    window.removeEventListener('resize', this.#onScroll);
    app.store.keep(new Set(this.#inSight));
    this.#list.rows = [];
    this.#list.loaded = false;
  }

  refresh(): void {
    this.#list.reload();
    void this.#totals.refresh();
  }

  watched(app: App): readonly string[] {
    return this.#inSight.filter((id) => {
      const status = app.store.stream(id);
      return status !== undefined && !isFinished(status.state);
    });
  }

  /** At the top of the list somebody wants to see what is new; further down, that nothing moves. */
  onState(status: StreamStatus, app: App): void {
    if (!this.#list.loaded) return;
    const known = this.#list.rows.includes(status.streamId);
    if (!known && window.scrollY > 0) {
      this.#newer.add(status.streamId);
      app.store.notify();
      return;
    }
    clearTimeout(this.#settleTimer);
    this.#settleTimer = setTimeout(() => {
      if (window.scrollY === 0) this.#list.reload();
      void this.#totals.refresh();
    }, settleMs);
  }

  view(app: App): TemplateResult {
    this.#all = app.summary.value;
    this.#measure();
    const total = this.#total();
    return html`
      ${pageHead('Streams')}
      ${this.#toolbar(app)}
      ${problemNote(this.#list.problem, 'streams-problem')}
      <p class="result" role="status" data-testid="stream-count">${total === undefined ? 'Loading…' : html`
        <span class="number">${total.toLocaleString('en-GB')}</span> ${total === 1 ? 'stream' : 'streams'}, ${this.#sortText()}`}</p>
      ${total === 0 ? empty(this.#isFiltered() ? 'No stream is as you asked for.' : html`No stream yet. Choose a disk among the <a href=${href('domains')}>domains</a>, and stream it.`, 'no-streams')
        : this.#table(app, total ?? 0)}
      ${this.#newer.size > 0 ? html`
        <button type="button" class="newer primary" data-testid="btn-newer" @click=${() => this.#showNewer()}>${this.#newer.size} changed: show</button>` : nothing}`;
  }

  #toolbar(app: App): TemplateResult {
    const counts = this.#counts();
    const current = this.#query['show'] === 'attention' ? 'attention' : (this.#query['state'] ?? '');
    const chips: readonly [string, string, number | undefined][] = [
      ['', 'All', counts?.streams],
      ['attention', 'Needs attention', counts?.attention],
      ...allStates.map((state): [string, string, number | undefined] => [state, capitalize(state), counts?.states[state]]),
    ];
    const choose = (value: string) => this.#go(app, value === 'attention' ? { show: 'attention', state: undefined } : { show: undefined, state: value });
    return html`
      <div class="toolbar">
        <div class="search">
          <label for="stream-search" class="visually-hidden">Search by domain, disk or host</label>
          <input id="stream-search" type="search" placeholder="Search by domain, disk or host" autocomplete="off" data-testid="stream-search"
            .value=${this.#search} @input=${(event: Event) => this.#type(app, (event.target as HTMLInputElement).value)} />
        </div>
        <label class="select"><span class="visually-hidden">Host</span>
          <select data-testid="host-filter" @change=${(event: Event) => this.#go(app, { host: (event.target as HTMLSelectElement).value })}>
            <option value="" ?selected=${!this.#query['host']}>All hosts</option>
            ${(app.hosts.value ?? []).map(({ name }) => html`<option value=${name} ?selected=${this.#query['host'] === name}>${name}</option>`)}
          </select>
        </label>
        <label class="select narrow-only"><span class="visually-hidden">Order</span>
          <select data-testid="sort-select" @change=${(event: Event) => this.#go(app, { sort: (event.target as HTMLSelectElement).value, direction: undefined })}>
            ${(Object.keys(sortWords) as StreamSort[]).map((sort) => html`<option value=${sort} ?selected=${this.#sort === sort}>${capitalize(sortWords[sort])}</option>`)}
          </select>
        </label>
      </div>
      <div class="chips" role="group" aria-label="States">
        ${chips.map(([value, text, count]) => html`
          <button type="button" class="chip" aria-pressed=${current === value} data-testid="state-filter" data-value=${value} @click=${() => choose(value)}>
            ${text} <span class="number">${count === undefined ? none : count.toLocaleString('en-GB')}</span>
          </button>`)}
      </div>`;
  }

  #table(app: App, total: number): TemplateResult {
    const { first, end } = this.#window;
    const rowHeight = this.#rowHeight();
    const indices = Array.from({ length: Math.max(0, Math.min(end, total) - first) }, (_, index) => first + index);
    return html`
      <div class="table" role="table" aria-label="Streams" aria-rowcount=${total + 1} data-testid="stream-table">
        <div class="table-head" role="row" aria-rowindex="1">
          ${columns.map(({ sort, text, name }) => sort === undefined
            ? html`<div role="columnheader" data-column=${name}>${text}</div>`
            : html`
              <div role="columnheader" data-column=${name} aria-sort=${this.#sort === sort ? (this.#isDescending ? 'descending' : 'ascending') : 'none'}>
                <button type="button" data-testid="sort-${sort}" @click=${() => this.#sortBy(app, sort)}>${text}<span class="sort-mark" aria-hidden="true"></span></button>
              </div>`)}
        </div>
        <div class="table-body" role="rowgroup" id="stream-rows" ${properties({ '--rows': String(total), '--row': `${rowHeight}px` })}>
          ${repeat(indices, (index) => this.#list.rows[index] ?? index, (index) => this.#row(app, index))}
        </div>
      </div>`;
  }

  #row(app: App, index: number): TemplateResult {
    const id = this.#list.rows[index];
    const stream = id === undefined ? undefined : app.store.stream(id);
    const place = properties({ '--index': String(index) });
    if (stream === undefined) return html`<div class="table-row waiting" role="row" aria-rowindex=${index + 2} ${place}><div role="cell" class="ghost"></div></div>`;
    const running = stream.state === 'running';
    return html`
      <div class="table-row" role="row" aria-rowindex=${index + 2} data-testid="stream-row" data-stream-id=${stream.streamId} data-state=${stream.state}
        data-domain=${stream.domain} data-disk=${stream.path} data-focus-row=${stream.streamId} ${place}>
        <div role="cell" data-column="stream">${streamLink(stream)}${this.#why(stream)}</div>
        <div role="cell" data-column="state">${stateBadge(stream.state)}</div>
        <div role="cell" data-column="progress">${progressBar(stream, true)}</div>
        <div role="cell" data-column="rate" class="number" data-testid="stream-rate">${running ? formatRate(stream.bytesPerSecond) : none}</div>
        <div role="cell" data-column="eta" class="number" title="${formatBytes(stream.bytesRemaining)} left">${running ? formatDuration(stream.etaSeconds) : none}</div>
        <div role="cell" data-column="host">${stream.host}</div>
        <div role="cell" data-column="created" class="number">${time(stream.createdAt, true)}</div>
      </div>`;
  }

  /** Only where it is not what one would think. */
  #why(stream: StreamStatus): TemplateResult | typeof nothing {
    return stream.reason || stream.error ? html`<span class="why" title=${explain(stream)}>${explain(stream)}</span>` : nothing;
  }

  get #isNarrowed(): boolean {
    return Boolean(this.#query['host'] || this.#query['q']);
  }

  #counts(): Summary | undefined {
    return this.#isNarrowed ? this.#totals.value : this.#all;
  }

  get #sort(): StreamSort {
    return (this.#query['sort'] as StreamSort | undefined) ?? 'created';
  }

  get #isDescending(): boolean {
    return this.#query['direction'] === undefined ? descending.has(this.#sort) : this.#query['direction'] === 'desc';
  }

  #sortText(): string {
    const usual = this.#isDescending === descending.has(this.#sort);
    return usual ? sortWords[this.#sort] : `${sortWords[this.#sort]}, the other way round`;
  }

  #isFiltered(): boolean {
    return ['state', 'show', 'host', 'q'].some((name) => this.#query[name]);
  }

  #asked(): Omit<StreamQuery, 'limit' | 'cursor'> {
    const { state, host, q, show, sort, direction } = this.#query;
    return {
      ...(show === 'attention' ? { state: ['waiting', 'failed'] as const, latest: true } : { state: state ? (state.split(',') as StreamState[]) : undefined }),
      host, q, sort: sort as StreamSort | undefined, direction: direction as SortDirection | undefined,
    };
  }

  /** How many there are, as far as the service has told; what is read already is there, whatever a count says. */
  #total(): number | undefined {
    const counts = this.#counts();
    const read = this.#list.rows.length;
    if (this.#list.loaded && this.#list.complete) return read;
    if (counts === undefined) return this.#list.loaded ? read : undefined;
    const chosen = this.#query['show'] === 'attention'
      ? counts.attention
      : this.#query['state'] ? this.#query['state'].split(',').reduce((sum, state) => sum + (counts.states[state as keyof Summary['states']] ?? 0), 0) : counts.streams;
    return Math.max(read, chosen);
  }

  #rowHeight(): number {
    return window.matchMedia('(max-width: 52rem)').matches ? 92 : 56;
  }

  /** Finds out which rows are in sight. @returns whether others are to be drawn than before. */
  #measure(): boolean {
    const body = document.getElementById('stream-rows');
    const above = body === null ? 0 : -body.getBoundingClientRect().top;
    const rowHeight = this.#rowHeight();
    const next = rowsInSight(above, window.innerHeight, rowHeight, this.#total() ?? 0);
    this.#list.want(next.end);
    const top = Math.max(0, Math.floor(above / rowHeight));
    const inSight = this.#list.rows.slice(top, top + Math.ceil(window.innerHeight / rowHeight) + 1);
    const moved = next.first !== this.#window.first || next.end !== this.#window.end;
    this.#window = next;
    this.#inSight = inSight;
    return moved;
  }

  #type(app: App, text: string): void {
    this.#search = text;
    clearTimeout(this.#searchTimer);
    this.#searchTimer = setTimeout(() => this.#go(app, { q: text.trim() }), searchDelayMs);
  }

  #sortBy(app: App, sort: StreamSort): void {
    const direction = this.#sort === sort ? (this.#isDescending ? 'asc' : 'desc') : undefined;
    this.#go(app, { sort, direction });
  }

  #go(app: App, change: Record<string, string | undefined>): void {
    app.router.replace(href('streams', '', { ...this.#query, ...change }));
  }

  #showNewer(): void {
    this.#newer.clear();
    window.scrollTo({ top: 0 });
    this.refresh();
  }
}
