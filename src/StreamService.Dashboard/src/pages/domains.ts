import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import { destinationsOf, type App, type Page } from '../app.ts';
import { Feed, isReady } from '../feed.ts';
import { capitalize, formatPercent, formatSize, formatWords } from '../format.ts';
import { isOver } from '../migrations.ts';
import type { Disk, Domain, MigrationState, StreamStatus } from '../model.ts';
import { href } from '../router.ts';
import { activeStates, diskKey, isFinished, newestByDisk, progress } from '../streams.ts';
import { chain, layersOf } from '../views/chain.ts';
import { badge, empty, pageHead, problemNote } from '../views/parts.ts';

const intervalMs = 5_000;
const pageSize = 100;
const activeShown = 1000;
/** After a stream changed its state its disk's chain does too: soon, but once for many changes at the same time. */
const settleMs = 400;

interface DomainList {
  readonly items: readonly Domain[];
  /** Whether the service has more than were asked for. */
  readonly more: boolean;
}

/** The domains of all hosts with their disks: what can be streamed, and what is being streamed. */
export class DomainsPage implements Page {
  readonly title = 'Domains';
  readonly #domains: Feed<DomainList>;
  readonly #streams: Feed<readonly StreamStatus[]>;
  #pages = 1;
  #filter = '';
  #settle: ReturnType<typeof setTimeout> | undefined;

  constructor(app: App) {
    const changed = (fresh: boolean) => fresh && app.store.notify();
    this.#domains = new Feed<DomainList>(async () => {
      const items: Domain[] = [];
      let cursor: string | undefined;
      for (let page = 0; page < this.#pages; page++) {
        const answer = await app.api.domains({ limit: pageSize, cursor });
        items.push(...answer.items);
        cursor = answer.nextCursor ?? undefined;
        if (cursor === undefined) break;
      }
      return { items, more: cursor !== undefined };
    }, () => intervalMs, changed);
    this.#streams = new Feed(async () => (await app.api.streams({ state: activeStates, limit: activeShown })).items, () => intervalMs, changed);
  }

  enter(): void {
    this.#domains.start();
    this.#streams.start();
  }

  leave(): void {
    this.#domains.stop();
    this.#streams.stop();
  }

  refresh(): void {
    void this.#domains.refresh();
    void this.#streams.refresh();
  }

  onState(): void {
    clearTimeout(this.#settle);
    this.#settle = setTimeout(() => this.refresh(), settleMs);
  }

  view(app: App): TemplateResult {
    const { value, problem } = this.#domains;
    const streams = newestByDisk((this.#streams.value ?? []).map((status) => app.store.stream(status.streamId) ?? status));
    const words = this.#filter.toLowerCase().split(/\s+/).filter((word) => word !== '');
    const shown = (value?.items ?? []).filter((domain) => words.every((word) => `${domain.name} ${domain.host}`.toLowerCase().includes(word)));
    return html`
      ${pageHead('Domains')}
      <div class="toolbar">
        <div class="search">
          <label for="domain-search" class="visually-hidden">Narrow to names or hosts</label>
          <input id="domain-search" type="search" placeholder="Narrow to names or hosts" autocomplete="off" data-testid="domain-search" .value=${this.#filter}
            @input=${(event: Event) => {
              this.#filter = (event.target as HTMLInputElement).value;
              app.store.notify();
            }} />
        </div>
      </div>
      ${problemNote(problem, 'domains-problem')}
      ${value === undefined || !isReady([app.hosts, this.#streams])
        ? empty(problem ? 'Not known yet.' : 'Loading…')
        : shown.length === 0
          ? empty(value.items.length === 0 ? 'No host has a domain.' : 'No domain is called so.')
          : html`<ul class="cards">
              ${repeat(shown, ({ id, host }) => `${host}/${id}`, (domain) => domainCard(app, domain, streams))}
            </ul>`}
      ${value?.more
        ? html`<button type="button" class="more" data-testid="btn-more-domains" @click=${() => {
            this.#pages++;
            void this.#domains.refresh();
          }}>More domains</button>`
        : nothing}`;
  }
}

type Streams = ReadonlyMap<string, StreamStatus>;

function domainCard(app: App, domain: Domain, streams: Streams): TemplateResult {
  const running = domain.state === 'running';
  return html`
    <li class="card domain" data-testid="domain-row" data-domain=${domain.id} data-focus-row=${domain.id}>
      <div class="card-head">
        <h2>${domain.name}</h2>
        ${badge(running ? 'good' : 'calm', capitalize(formatWords(domain.state)), 'domain-state')}
        <span class="muted">on ${domain.host}${domain.deployment ? html`, from ${domain.deployment.image}` : nothing}</span>
        ${migrateButton(app, domain)}
      </div>
      ${domain.disks.length === 0
        ? html`<p class="muted">No disk.</p>`
        : html`<ul class="disks">
            ${repeat(domain.disks, ({ target }) => target, (disk) => diskRow(app, domain, disk, streams))}
          </ul>`}
    </li>`;
}

/** Nothing where there is nowhere to go. */
function migrateButton(app: App, domain: Domain): TemplateResult | typeof nothing {
  const destinations = (of: Domain) => destinationsOf(of, app, (state) => isOver(state as MigrationState));
  if (!app.session.may('migrations:write') || destinations(domain).length === 0) return nothing;
  return html`
    <button type="button" class="migrate" data-testid="btn-migrate" data-domain=${domain.id} aria-label="Migrate ${domain.name}"
      @click=${() => app.actions.openMigration([domain], destinations)}>Migrate…</button>`;
}

function diskRow(app: App, domain: Domain, disk: Disk, streams: Streams): TemplateResult {
  const stream = streams.get(diskKey({ domain: domain.id, path: disk.target }));
  return html`
    <li class="disk" data-testid="disk-row" data-domain=${domain.id} data-disk=${disk.target}>
      <div class="disk-name">
        <h3>${disk.target}</h3>
        <p class="muted">${[disk.format, formatSize(disk.size)].filter(Boolean).join(', ')}${disk.clusterSize
          ? html`<span class="clusters">, ${formatSize(disk.clusterSize)} clusters</span>` : nothing}</p>
      </div>
      ${chain(disk.target, layersOf(disk))}
      <div class="disk-action">${diskAction(app, domain, disk, stream)}</div>
    </li>`;
}

function diskAction(app: App, domain: Domain, disk: Disk, stream: StreamStatus | undefined): TemplateResult {
  if (stream !== undefined && !isFinished(stream.state)) {
    return html`
      <a href=${href('streams', stream.streamId)} data-testid="disk-stream" data-state=${stream.state}>
        ${capitalize(stream.state)} <span class="number">${formatPercent(progress(stream))}</span>
      </a>`;
  }
  if (disk.streamable && app.session.may('streams:write')) {
    return html`
      <button type="button" data-testid="btn-stream" data-domain=${domain.id} data-disk=${disk.target}
        aria-label="Stream ${domain.name} ${disk.target}" @click=${() => app.actions.openStream(domain, disk)}>
        Stream…
      </button>`;
  }
  const text = disk.streamable ? 'Streamable' : layersOf(disk).length > 1 ? 'Not streamable now' : 'Independent';
  const title = disk.streamable ? 'You may look, not start streams: your key lacks the scope streams:write.' : layersOf(disk).length > 1
    ? 'Only a writable disk can be streamed, of a domain that runs or whose image the service can open.'
    : 'The disk has no backing image: nothing is left to stream.';
  return html`<span class="muted" data-testid="disk-note" title=${title}>${text}</span>`;
}
