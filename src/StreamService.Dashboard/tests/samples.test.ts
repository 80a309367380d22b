import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byteIncrement, describeSeries, Samples } from '../src/samples.ts';

test('the oldest are forgotten', () => {
  const samples = new Samples(1, 3, 0);
  for (let time = 1; time <= 5; time++) samples.add(time, [time * 10]);
  assert.deepEqual(samples.columns, [[3, 4, 5], [30, 40, 50]]);
});

test('what comes too fast takes the place of the last', () => {
  const samples = new Samples(2, 10, 1);
  for (const time of [10, 10.25, 10.5, 10.75, 11, 11.25, 12]) samples.add(time, [time, null]);
  assert.deepEqual(samples.times, [10, 11, 12]);
  assert.deepEqual(samples.values[0], [10.75, 11.25, 12]);
});

test('a clock that was set back begins anew', () => {
  const samples = new Samples(1, 10, 0);
  samples.add(100, [1]);
  samples.add(50, [2]);
  assert.deepEqual(samples.columns, [[50], [2]]);
});

test('a series is told in words', () => {
  const format = (value: number) => `${value} B`;
  assert.equal(describeSeries([], format), 'Nothing to show yet.');
  assert.equal(describeSeries([10, null, 20], format), 'Now 20 B; mean 15 B, highest 20 B.');
  assert.equal(describeSeries([10, null], format), 'Now nothing; mean 10 B, highest 10 B.');
});

test('marks of bytes are powers of two, and few', () => {
  assert.equal(byteIncrement(100 * 1024 ** 2, 4), 32 * 1024 ** 2);
  for (const range of [1, 5000, 123_456_789, 1e12]) assert.ok(range / byteIncrement(range, 4) <= 4);
});
