import assert from 'node:assert/strict';
import { test } from 'node:test';
import { href, parseRoute } from '../src/router.ts';

test('addresses name a page, a stream, and what was asked of a list', () => {
  assert.deepEqual(parseRoute(''), { page: 'overview', id: '', query: {} });
  assert.deepEqual(parseRoute('#/streams?state=failed&q=web%201'), { page: 'streams', id: '', query: { state: 'failed', q: 'web 1' } });
  assert.deepEqual(parseRoute('#/streams/0197-a'), { page: 'stream', id: '0197-a', query: {} });
  assert.deepEqual(parseRoute('#/hosts'), { page: 'hosts', id: '', query: {} });
});

test('what is not understood is the overview', () => {
  for (const hash of ['#/nonsense', '#streams-1', '#/%E0%A4%A', '#/../hosts']) assert.equal(parseRoute(hash).page, 'overview');
});

test('an address leads back to its page; what is empty is left out', () => {
  assert.equal(href('overview'), '#/');
  assert.equal(href('streams', '', { q: 'a&b', state: '', host: undefined }), '#/streams?q=a%26b');
  assert.deepEqual(parseRoute(href('streams', 'x/y', {})), { page: 'stream', id: 'x/y', query: {} });
});
