import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canCancel, inOrder, stepNote } from '../src/migrations.ts';
import type { Migration, MigrationStep } from '../src/model.ts';
import { Store } from '../src/store.ts';

function migration(change: Partial<Migration>): Migration {
  return {
    migrationId: 'm1', domain: 'd', domainName: 'web', source: 'a', destination: 'b', state: 'running', reason: null, error: null,
    switchedAt: null, steps: [], disks: [], memory: null, leftOnSource: [], createdAt: '2026-01-01T00:00:00Z', generation: 1, ...change,
  };
}

function step(change: Partial<MigrationStep>): MigrationStep {
  return { name: 'migrate', state: 'pending', startedAt: null, finishedAt: null, attempts: 0, detail: null, ...change };
}

test('an older generation of a migration never replaces a newer one, but for a new connection', () => {
  const store = new Store();
  assert.equal(store.applyMigration(migration({ generation: 5 })), true);
  assert.equal(store.applyMigration(migration({ generation: 4, state: 'failed' })), false);
  assert.equal(store.migrations.get('m1')?.state, 'running');
  store.beginConnection();
  assert.equal(store.applyMigration(migration({ generation: 2, state: 'failed' })), true);
});

test('it can be taken back until the switch, and not twice', () => {
  assert.equal(canCancel(migration({})), true);
  assert.equal(canCancel(migration({ state: 'waiting' })), true);
  assert.equal(canCancel(migration({ switchedAt: '2026-01-01T00:00:05Z' })), false);
  assert.equal(canCancel(migration({ state: 'goingBack' })), false);
  assert.equal(canCancel(migration({ state: 'completed' })), false);
});

test('a step tells how long it took, or what became of it', () => {
  assert.equal(stepNote(step({})), '');
  assert.equal(stepNote(step({ state: 'running', attempts: 1 })), 'now');
  assert.equal(stepNote(step({ state: 'running', attempts: 3 })), 'attempt 3');
  assert.equal(stepNote(step({ state: 'done', startedAt: '2026-01-01T00:00:00Z', finishedAt: '2026-01-01T00:01:05Z' })), '1 min 5 s');
  assert.equal(stepNote(step({ state: 'done', startedAt: '2026-01-01T00:00:00Z', finishedAt: '2026-01-01T00:00:00.2Z' })), '< 1 s');
  assert.equal(stepNote(step({ state: 'undone' })), 'undone');
});

test('those under way come first, then the newest', () => {
  const order = inOrder([
    migration({ migrationId: 'old', state: 'completed', createdAt: '2026-01-01T00:00:00Z' }),
    migration({ migrationId: 'new', state: 'failed', createdAt: '2026-01-03T00:00:00Z' }),
    migration({ migrationId: 'live', createdAt: '2026-01-02T00:00:00Z' }),
  ]);
  assert.deepEqual(order.map((one) => one.migrationId), ['live', 'new', 'old']);
});
