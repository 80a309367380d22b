import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rowsInSight } from '../src/virtual.ts';

test('every row that is in sight is there, and few that are not', () => {
  for (let above = -2000; above < 600_000; above += 777) {
    const { first, end } = rowsInSight(above, 900, 56, 10_000);
    const top = Math.max(0, Math.floor(above / 56));
    const bottom = Math.min(10_000, Math.ceil((above + 900) / 56));
    if (bottom > top && top < 10_000) assert.ok(first <= top && end >= bottom, `${above}: ${first} to ${end}`);
    assert.ok(first >= 0 && end <= 10_000 && end - first <= 900 / 56 + 40, `${above}: ${end - first} rows`);
  }
});

test('a short list is there as a whole, an empty one has no rows', () => {
  assert.deepEqual(rowsInSight(0, 900, 56, 3), { first: 0, end: 3 });
  assert.deepEqual(rowsInSight(5000, 900, 56, 0), { first: 0, end: 0 });
});

test('small moves change nothing', () => {
  assert.deepEqual(rowsInSight(100 * 56, 896, 56, 1000), rowsInSight(100 * 56 + 50, 896, 56, 1000));
});
