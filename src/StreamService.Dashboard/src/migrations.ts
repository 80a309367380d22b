// What is derived from migrations. Pure.

import { formatDuration, secondsBetween } from './format.ts';
import type { Migration, MigrationState, MigrationStep, MigrationStepName } from './model.ts';

/** The steps as a person reads them. */
const words: Record<MigrationStepName, string> = {
  preflight: 'Preflight',
  snapshot: 'Snapshot',
  export: 'Export',
  prepareDestination: 'Prepare',
  migrate: 'Migrate',
  stream: 'Stream',
  verify: 'Verify',
  release: 'Release',
};

export function stepName(name: MigrationStepName): string {
  return words[name] ?? name;
}

export function isOver(state: MigrationState): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled';
}

/** Whether it can still go back. */
export function canCancel(migration: Migration): boolean {
  return migration.switchedAt === null && (migration.state === 'running' || migration.state === 'waiting');
}

/** What a step tells beside its name: how long it took, or how it ended otherwise. */
export function stepNote(step: MigrationStep): string {
  switch (step.state) {
    case 'done': {
      const seconds = secondsBetween(step.startedAt, step.finishedAt);
      return seconds !== null && seconds < 1 ? '< 1 s' : formatDuration(seconds);
    }
    case 'running':
      return step.attempts > 1 ? `attempt ${step.attempts}` : 'now';
    case 'pending':
      return '';
    default:
      return step.state;
  }
}

/** Those that are under way first, then the newest. */
export function inOrder(migrations: Iterable<Migration>): Migration[] {
  return [...migrations].sort((a, b) =>
    Number(isOver(a.state)) - Number(isOver(b.state)) || Date.parse(b.createdAt) - Date.parse(a.createdAt) || (a.migrationId < b.migrationId ? 1 : -1));
}
