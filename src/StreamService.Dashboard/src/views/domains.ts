import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import { formatPercent, formatSize, formatWords } from '../format.ts';
import { isOver } from '../migrations.ts';
import type { Disk, Domain, StreamStatus } from '../model.ts';
import { diskKey, isFinished, progress } from '../streams.ts';
import { chain, layersOf } from './chain.ts';
import type { Context } from './context.ts';
import { badge, problemNote } from './parts.ts';

type Streams = ReadonlyMap<string, StreamStatus>;

/** @param streams the stream that says most about each disk, by its key. */
export function domainsView(context: Context, streams: Streams): TemplateResult {
  const { value, problem } = context.store.domains;
  return html`
    <section id="domains" aria-labelledby="domains-title">
      <h2 id="domains-title">Domains and disks</h2>
      ${problemNote(problem, 'domains-problem')}
      ${value === undefined
        ? html`<p class="empty">${problem ? 'Not known yet.' : 'Loading…'}</p>`
        : value.items.length === 0
          ? html`<p class="empty">No host has a domain.</p>`
          : html`<ul class="cards">
              ${repeat(value.items, ({ id, host }) => `${host}/${id}`, (domain) => domainCard(context, domain, streams))}
            </ul>`}
      ${value?.more
        ? html`<button type="button" class="more" data-testid="btn-more-domains" @click=${() => context.poller.moreDomains()}>
            More domains
          </button>`
        : nothing}
    </section>`;
}

function domainCard(context: Context, domain: Domain, streams: Streams): TemplateResult {
  const running = domain.state === 'running';
  return html`
    <li class="card domain" data-testid="domain-row" data-domain=${domain.id}>
      <div class="card-head">
        <h3>${domain.name}</h3>
        <span class="muted">on ${domain.host}</span>
        ${badge(running ? 'good' : 'calm', capitalize(formatWords(domain.state)), 'domain-state')}
        ${running ? migrateButton(context, domain) : nothing}
      </div>
      ${domain.disks.length === 0
        ? html`<p class="muted">No disk.</p>`
        : html`<ul class="disks">
            ${repeat(domain.disks, ({ target }) => target, (disk) => diskRow(context, domain, disk, streams))}
          </ul>`}
    </li>`;
}

/** Nothing where there is nowhere to go. */
function migrateButton({ store, actions, session }: Context, domain: Domain): TemplateResult | typeof nothing {
  const destinations = (store.hosts.value ?? [])
    .filter((host) => host.name !== domain.host && host.state === 'connected' && host.uri.startsWith('qemu'))
    .map((host) => host.name);
  if (!session.may('migrations:write') || destinations.length === 0 || [...store.migrations.values()].some((migration) => migration.domain === domain.id && !isOver(migration.state))) return nothing;
  return html`
    <button type="button" class="migrate" data-testid="btn-migrate" data-domain=${domain.id} aria-label="Migrate ${domain.name}"
      @click=${() => actions.openMigrationForm(domain, destinations)}>Migrate…</button>`;
}

function diskRow(context: Context, domain: Domain, disk: Disk, streams: Streams): TemplateResult {
  const stream = streams.get(diskKey({ domain: domain.id, path: disk.target }))
    ?? streams.get(diskKey({ domain: domain.id, path: disk.source ?? '' }));
  return html`
    <li class="disk" data-testid="disk-row" data-domain=${domain.id} data-disk=${disk.target}>
      <div class="disk-name">
        <h4>${disk.target}</h4>
        <p class="muted">
          ${[disk.format, formatSize(disk.size)].filter(Boolean).join(', ')}
          ${disk.clusterSize ? html`<br />${formatSize(disk.clusterSize)} clusters` : nothing}
        </p>
      </div>
      ${chain(disk)}
      <div class="disk-action">${diskAction(context, domain, disk, stream)}</div>
    </li>`;
}

function diskAction(context: Context, domain: Domain, disk: Disk, stream: StreamStatus | undefined): TemplateResult {
  if (stream !== undefined && !isFinished(stream.state)) {
    return html`
      <a href="#stream-${stream.streamId}" data-testid="disk-stream" data-state=${stream.state}>
        ${capitalize(stream.state)} <span class="number">${formatPercent(progress(stream))}</span>
      </a>`;
  }
  if (disk.streamable && context.session.may('streams:write')) {
    return html`
      <button type="button" data-testid="btn-stream" data-domain=${domain.id} data-disk=${disk.target}
        aria-label="Stream ${domain.name} ${disk.target}" @click=${() => context.actions.openForm(domain, disk)}>
        Stream
      </button>`;
  }
  const text = disk.streamable ? 'Streamable' : layersOf(disk).length > 1 ? 'Not streamable now' : 'Independent';
  const title = disk.streamable ? 'You may look, not start streams: your key lacks the scope streams:write.' : layersOf(disk).length > 1
    ? 'Only a writable disk can be streamed, of a domain that runs or whose image the service can open.'
    : 'The disk has no backing image: nothing is left to stream.';
  return html`<span class="muted" data-testid="disk-note" title=${title}>${text}</span>`;
}

export function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
