import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StreamStatus } from '../src/model.ts';
import { Store } from '../src/store.ts';
import { durableProgress, explain, newestByDisk, progress } from '../src/streams.ts';

function status(change: Partial<StreamStatus>): StreamStatus {
  return {
    path: 'vda', offset: 0, size: 1000, streamId: 's1', host: 'h', domain: 'd', domainName: 'web', mode: 'full', engine: 'pipelined',
    state: 'running', bandwidth: 0, policy: 'adaptive', priority: 'normal', bytesStreamed: 0, bytesDurable: 0, bytesRemaining: 1000,
    bytesPerSecond: 0, etaSeconds: null, reason: null, error: null, createdAt: '2026-01-01T00:00:00Z', startedAt: null,
    updatedAt: '2026-01-01T00:00:00Z', finishedAt: null, generation: 1, ...change,
  };
}

test('an older generation never replaces a newer one, in whatever order they arrive', () => {
  const store = new Store();
  assert.equal(store.apply(status({ generation: 5, bytesStreamed: 50 })), true);
  assert.equal(store.apply(status({ generation: 4, bytesStreamed: 40 })), false);
  assert.equal(store.stream('s1')?.bytesStreamed, 50);
});

test('a state change is told once, with the state before', () => {
  const store = new Store();
  const changes: string[] = [];
  store.onStateChange(({ status: { state }, from }) => changes.push(`${from}→${state}`));
  store.apply(status({ generation: 1, state: 'queued' }));
  store.apply(status({ generation: 2, state: 'running' }));
  store.apply(status({ generation: 3, state: 'running', bytesStreamed: 10 }));
  store.apply(status({ generation: 4, state: 'completed' }));
  assert.deepEqual(changes, ['undefined→queued', 'queued→running', 'running→completed']);
});

test('after a new connection its first message counts, whatever generation it has', () => {
  const store = new Store();
  store.apply(status({ generation: 900 }));
  store.beginConnection();
  assert.equal(store.apply(status({ generation: 3, state: 'paused' })), true);
  assert.equal(store.apply(status({ generation: 2 })), false);
});

test('of a list that is left behind only what is in sight is kept', () => {
  const store = new Store();
  for (const streamId of ['a', 'b', 'c']) store.apply(status({ streamId }));
  store.keep(new Set(['b']));
  assert.deepEqual(['a', 'b', 'c'].map((id) => store.stream(id)?.streamId), [undefined, 'b', undefined]);
});

test('progress is of what has to be copied, and complete only when completed', () => {
  assert.equal(progress(status({ bytesStreamed: 250, bytesRemaining: 750 })), 0.25);
  assert.equal(durableProgress(status({ bytesStreamed: 250, bytesDurable: 100, bytesRemaining: 750 })), 0.1);
  assert.equal(progress(status({ state: 'completed', bytesStreamed: 0, bytesRemaining: 0 })), 1);
});

test('of each disk the newest stream counts', () => {
  const failed = status({ streamId: 'a', state: 'failed' });
  const again = status({ streamId: 'z', createdAt: '2026-01-02T00:00:00Z' });
  const other = status({ streamId: 'b', path: 'vdb' });
  assert.deepEqual([...newestByDisk([failed, again, other])].map(([key, { streamId }]) => `${key} ${streamId}`), ['d/vda z', 'd/vdb b']);
});

test('why it is as it is: the error, or what it waits for, or what its state means', () => {
  assert.equal(explain(status({ state: 'failed', error: { title: 'No', detail: 'The disk is gone.' }, reason: 'x' })), 'The disk is gone.');
  assert.equal(explain(status({ reason: 'guest latency 7 ms over 5 ms' })), 'Guest latency 7 ms over 5 ms');
  assert.match(explain(status({ state: 'completed' })), /independent/);
});
