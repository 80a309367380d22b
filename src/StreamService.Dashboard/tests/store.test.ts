import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StreamStatus } from '../src/model.ts';
import { Store } from '../src/store.ts';
import { durableProgress, group, progress, totals } from '../src/streams.ts';

function status(change: Partial<StreamStatus>): StreamStatus {
  return {
    path: 'vda', offset: 0, size: 1000, streamId: 's1', host: 'h', domain: 'd', domainName: 'web', mode: 'full', engine: 'pipelined',
    state: 'running', bandwidth: 0, policy: 'adaptive', priority: 'normal', bytesStreamed: 0, bytesDurable: 0, bytesRemaining: 1000,
    bytesPerSecond: 0, etaSeconds: null, reason: null, error: null, createdAt: '2026-01-01T00:00:00Z', startedAt: null,
    updatedAt: '2026-01-01T00:00:00Z', finishedAt: null, generation: 1, ...change,
  } as StreamStatus;
}

test('an older generation never replaces a newer one, in whatever order they arrive', () => {
  const store = new Store();
  assert.equal(store.apply(status({ generation: 5, bytesStreamed: 50 })), true);
  assert.equal(store.apply(status({ generation: 4, bytesStreamed: 40 })), false);
  assert.equal(store.streams.get('s1')?.bytesStreamed, 50);
});

test('a state change is told once, with the state before', () => {
  const store = new Store();
  const changes: string[] = [];
  store.onStateChange(({ status: { state }, from }) => changes.push(`${from}→${state}`));
  store.apply(status({ generation: 1, state: 'queued' }));
  store.apply(status({ generation: 2, state: 'running' }));
  store.apply(status({ generation: 3, state: 'running', bytesStreamed: 10 }));
  store.apply(status({ generation: 4, state: 'completed' }));
  assert.deepEqual(changes, ['queued→running', 'running→completed']);
});

test('after a new connection the first snapshot counts, and what it does not name is unconfirmed', () => {
  const store = new Store();
  store.apply(status({ generation: 900 }));
  store.apply(status({ streamId: 's2', path: 'vdb', generation: 7 }));
  store.beginConnection();
  assert.equal(store.apply(status({ generation: 3, state: 'paused' })), true);
  assert.deepEqual(store.unconfirmed().map((stream) => stream.streamId), ['s2']);
});

test('progress is of what has to be copied, and complete only when completed', () => {
  assert.equal(progress(status({ bytesStreamed: 250, bytesRemaining: 750 })), 0.25);
  assert.equal(durableProgress(status({ bytesStreamed: 250, bytesDurable: 100, bytesRemaining: 750 })), 0.1);
  assert.equal(progress(status({ state: 'completed', bytesStreamed: 0, bytesRemaining: 0 })), 1);
});

test('what needs attention comes first, until something newer was done about the disk', () => {
  const failed = status({ streamId: 'a', state: 'failed' });
  const waiting = status({ streamId: 'b', path: 'vdb', state: 'waiting', bytesPerSecond: 9, bytesRemaining: 5 });
  const running = status({ streamId: 'c', path: 'vdc', bytesPerSecond: 7, bytesRemaining: 3 });
  const groups = group([running, failed, waiting]);
  assert.deepEqual(groups.attention.map((stream) => stream.streamId), ['a', 'b']);
  assert.deepEqual(totals(groups), { attention: 2, active: 1, bytesPerSecond: 7, bytesRemaining: 8 });

  const again = status({ streamId: 'z', state: 'running', createdAt: '2026-01-02T00:00:00Z' });
  assert.deepEqual(group([failed, again]).attention, []);
});
