import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import { destinationsOf, type App, type Page } from '../app.ts';
import { Feed } from '../feed.ts';
import { capitalize, formatBytes, formatRate } from '../format.ts';
import { canCancel, inOrder, isOver, stepName, stepNote } from '../migrations.ts';
import type { Domain, Migration, MigrationDisk, MigrationState, MigrationStep } from '../model.ts';
import { badge, empty, fact, pageHead, problemNote, time, type Tone } from '../views/parts.ts';

const intervalMs = 15_000;

const tones: Record<MigrationState, Tone> = {
  running: 'busy',
  waiting: 'warn',
  goingBack: 'warn',
  completed: 'good',
  failed: 'bad',
  cancelled: 'calm',
};

const stateWords: Partial<Record<MigrationState, string>> = { goingBack: 'Going back' };

const shown = 50;

/** Domains on their way from host to host, step by step. The hub tells of every change. */
export class MigrationsPage implements Page {
  readonly title = 'Migrations';
  readonly #list: Feed<number>;
  readonly #domains: Feed<readonly Domain[]>;

  constructor(app: App) {
    const changed = (fresh: boolean) => fresh && app.store.notify();
    // Without the hub the list would stand still.
    this.#list = new Feed(async () => {
      const { items } = await app.api.migrations({ limit: shown });
      for (const migration of items) app.store.applyMigration(migration);
      return items.length;
    }, () => intervalMs, changed);
    this.#domains = new Feed(async () => (await app.api.domains({ limit: 1000 })).items, () => intervalMs, changed);
  }

  enter(): void {
    this.#list.start();
    this.#domains.start();
  }

  leave(): void {
    this.#list.stop();
    this.#domains.stop();
  }

  refresh(): void {
    void this.#list.refresh();
    void this.#domains.refresh();
  }

  view(app: App): TemplateResult {
    const destinations = (domain: Domain) => destinationsOf(domain, app, (state) => isOver(state as MigrationState));
    const movable = app.session.may('migrations:write') ? (this.#domains.value ?? []).filter((domain) => destinations(domain).length > 0) : [];
    const migrations = inOrder(app.store.migrations.values()).slice(0, shown);
    return html`
      ${pageHead('Migrations', nothing, movable.length > 0
        ? html`<button type="button" class="primary" data-testid="btn-migrate-new" @click=${() => app.actions.openMigration(movable, destinations)}>Migrate a domain…</button>` : nothing)}
      ${problemNote(this.#list.problem, 'migrations-problem')}
      ${migrations.length === 0
        ? empty(this.#list.value === undefined && this.#list.problem === undefined ? 'Loading…'
          : movable.length > 0 ? 'No domain ever migrated.' : 'No domain ever migrated. It takes two libvirt hosts that answer.', 'no-migrations')
        : html`<ul class="cards">${repeat(migrations, ({ migrationId }) => migrationId, (migration) => card(app, migration))}</ul>`}`;
  }
}

function card(app: App, migration: Migration): TemplateResult {
  const { migrationId, state, source, destination, domainName } = migration;
  const { actions } = app;
  const there = migration.switchedAt !== null;
  return html`
    <li class="card migration" aria-label="${domainName}, ${state}" data-testid="migration-row" data-migration=${migrationId} data-state=${state} data-focus-row=${migrationId}>
      <div class="card-head">
        <h2>${domainName}</h2>
        ${badge(tones[state] ?? 'calm', stateWords[state] ?? capitalize(state), 'migration-state')}
        <span class="muted">begun ${time(migration.createdAt)}</span>
        <div class="actions">${controls(app, migration)}</div>
      </div>
      <div class="hosts-pair" aria-label="From ${source} to ${destination}">
        <div class="end" data-here=${!there}><span class="muted">Source</span><strong>${source}</strong><span class="here">${there ? '' : `${domainName} runs here`}</span></div>
        <span class="arrow" aria-hidden="true">→</span>
        <div class="end" data-here=${there}><span class="muted">Destination</span><strong>${destination}</strong><span class="here" data-testid="migration-where">${there
          ? html`${domainName} runs on ${destination}, since ${time(migration.switchedAt)}` : ''}</span></div>
      </div>
      <ol class="steps" aria-label="Steps">${migration.steps.map(stepItem)}</ol>
      <dl class="facts numbers">
        ${migration.memory && !there
          ? fact('Memory left', `${formatBytes(migration.memory.remaining)} at ${formatRate(migration.memory.bytesPerSecond)}`, 'migration-memory')
          : nothing}
        ${migration.disks.map((disk) => diskFact(migration, disk))}
      </dl>
      ${migration.error
        ? html`<p class="note bad" data-testid="migration-error"><strong>${migration.error.title ?? 'Failed'}</strong> ${migration.error.detail ?? ''}</p>`
        : migration.reason
          ? html`<p class="note warn" data-testid="migration-reason">${migration.reason}</p>`
          : nothing}
      ${state === 'completed' && migration.leftOnSource.length > 0
        ? html`<p class="note">Left on ${source}: ${migration.leftOnSource.join(', ')}</p>`
        : nothing}
      ${problemNote(actions.problems.get(migrationId), 'migration-problem', () => actions.dismiss(migrationId))}
    </li>`;
}

function stepItem(step: MigrationStep): TemplateResult {
  const note = stepNote(step);
  return html`
    <li data-state=${step.state} data-testid="migration-step" data-step=${step.name} title=${step.detail ?? ''}
      aria-current=${step.state === 'running' ? 'step' : nothing}>
      <span class="mark" aria-hidden="true"></span>
      <span class="step-name">${stepName(step.name)}</span>
      <span class="muted number">${step.startedAt ? time(step.startedAt) : nothing}</span>
      <span class="number step-note">${note}<span class="visually-hidden">${note === '' ? step.state : ''} ${step.detail ?? ''}</span></span>
    </li>`;
}

function diskFact(migration: Migration, disk: MigrationDisk): TemplateResult {
  const parts = [
    disk.bytesRemaining === 0 || migration.state === 'completed'
      ? 'independent'
      : disk.bytesRemaining === null ? `on ${migration.source}` : `${formatBytes(disk.bytesRemaining)} left`,
    disk.bytesVerified === null ? '' : `${formatBytes(disk.bytesVerified)} verified`,
  ];
  return fact(`Disk ${disk.target}`, parts.filter(Boolean).join(', '), 'migration-disk', `${disk.frozen} on ${migration.source}, ${disk.destination} on ${migration.destination}`);
}

function controls({ actions, session }: App, migration: Migration): TemplateResult | typeof nothing {
  if (!session.may('migrations:write')) return nothing;
  const busy = actions.busy.has(migration.migrationId);
  if (canCancel(migration)) {
    return html`
      <button type="button" data-testid="btn-migration-cancel" aria-disabled=${busy} aria-label="Cancel the migration of ${migration.domainName}"
        title="The domain goes on at ${migration.source}, as it was" @click=${() => actions.cancelMigration(migration)}>Cancel</button>`;
  }
  if (migration.state === 'completed' && migration.leftOnSource.length > 0) {
    const ask = `Delete these files on ${migration.source} for good?\n\n${migration.leftOnSource.join('\n')}`;
    return html`
      <button type="button" data-testid="btn-migration-delete" aria-disabled=${busy}
        @click=${() => window.confirm(ask) && actions.deleteLeft(migration)}>Delete what is left on ${migration.source}</button>`;
  }
  return nothing;
}
