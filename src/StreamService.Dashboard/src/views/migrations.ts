import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import { formatBytes, formatRate } from '../format.ts';
import { canCancel, inOrder, isOver, stepName, stepNote } from '../migrations.ts';
import type { Migration, MigrationDisk, MigrationState, MigrationStep } from '../model.ts';
import type { Context } from './context.ts';
import { capitalize } from './domains.ts';
import { badge, fact, problemNote, time, type Tone } from './parts.ts';

const tones: Record<MigrationState, Tone> = {
  running: 'busy',
  waiting: 'warn',
  goingBack: 'warn',
  completed: 'good',
  failed: 'bad',
  cancelled: 'calm',
};

const stateWords: Partial<Record<MigrationState, string>> = { goingBack: 'Going back' };

const shown = 20;

/** Nothing where no domain ever migrated: most services have one host. */
export function migrationsView(context: Context): TemplateResult | typeof nothing {
  const { migrations } = context.store;
  if (migrations.size === 0) return nothing;
  return html`
    <section id="migrations" aria-labelledby="migrations-title">
      <h2 id="migrations-title">Migrations</h2>
      <ul class="cards">
        ${repeat(inOrder(migrations.values()).slice(0, shown), ({ migrationId }) => migrationId, (migration) => card(context, migration))}
      </ul>
    </section>`;
}

function card(context: Context, migration: Migration): TemplateResult {
  const { migrationId, state, source, destination, domainName } = migration;
  const { actions } = context;
  return html`
    <li class="card migration" aria-label="${domainName}, ${state}" data-testid="migration-row" data-migration=${migrationId} data-state=${state}>
      <div class="card-head">
        <h3>${domainName}</h3>
        <span class="route">${source} <span aria-label="to">→</span> ${destination}</span>
        ${badge(tones[state] ?? 'calm', stateWords[state] ?? capitalize(state), 'migration-state')}
        <div class="actions">${controls(context, migration)}</div>
      </div>
      <ol class="steps" aria-label="Steps">${migration.steps.map(stepItem)}</ol>
      <dl class="facts numbers">
        ${migration.switchedAt === null
          ? fact('Runs on', isOver(state) || state === 'goingBack' ? source : `${source}, until the switch`, 'migration-where')
          : fact('Runs on', html`${destination}, since ${time(migration.switchedAt)}`, 'migration-where')}
        ${migration.memory && migration.switchedAt === null
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
      <span>${stepName(step.name)}</span>
      <span class="muted number">${note}<span class="visually-hidden">${note === '' ? step.state : ''} ${step.detail ?? ''}</span></span>
    </li>`;
}

function diskFact(migration: Migration, disk: MigrationDisk): TemplateResult {
  const parts = [
    disk.bytesRemaining === 0 || migration.state === 'completed'
      ? 'independent'
      : disk.bytesRemaining === null ? `on ${migration.source}` : `${formatBytes(disk.bytesRemaining)} left`,
    disk.bytesVerified === null ? '' : `${formatBytes(disk.bytesVerified)} verified`,
  ];
  return fact(disk.target, parts.filter(Boolean).join(', '), 'migration-disk', `${disk.frozen} on ${migration.source}, ${disk.destination} on ${migration.destination}`);
}

function controls({ actions, session }: Context, migration: Migration): TemplateResult | typeof nothing {
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
