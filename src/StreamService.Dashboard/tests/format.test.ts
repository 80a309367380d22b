import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatBandwidth, formatBytes, formatDuration, formatPercent, formatSize, formatTime, formatWords, faultsOf, formatMilliseconds, formatShortTime, mebibytesToBandwidth, plural, problemFaults, splitPath,
} from '../src/format.ts';

test('sizes are binary, with three significant digits', () => {
  const rows: [number | null, string][] = [
    [0, '0 B'], [512, '512 B'], [1023, '1023 B'], [1024, '1.00 KiB'], [1536 * 1024, '1.50 MiB'], [238 * 1024 ** 2, '238 MiB'],
    [1023.6 * 1024, '1.00 MiB'], [5 * 1024 ** 4, '5.00 TiB'], [null, '–'], [-1, '–'], [NaN, '–'],
  ];
  for (const [bytes, text] of rows) assert.equal(formatBytes(bytes), text);
});

test('round sizes lose their zeros, others keep what they say', () => {
  assert.equal(formatSize(20 * 1024 ** 3), '20 GiB');
  assert.equal(formatSize(64 * 1024), '64 KiB');
  assert.equal(formatSize(1.5 * 1024 ** 3), '1.5 GiB');
  assert.equal(formatSize(200 * 1024), '200 KiB');
});

test('names of the API become words', () => {
  assert.equal(formatWords('running'), 'running');
  assert.equal(formatWords('shuttingDown'), 'shutting down');
});

test('a bandwidth of 0 is unlimited', () => {
  assert.equal(formatBandwidth(0), 'unlimited');
  assert.equal(formatBandwidth(10 * 1024 ** 2), '10 MiB/s');
});

test('spans show their two largest units', () => {
  const rows: [number | null, string][] = [[8, '8 s'], [60, '1 min'], [252, '4 min 12 s'], [7500, '2 h 5 min'], [90_000, '1 d 1 h'], [null, '–']];
  for (const [seconds, text] of rows) assert.equal(formatDuration(seconds), text);
});

test('100 % is said of what is complete only', () => {
  assert.equal(formatPercent(0.99999), '99.9 %');
  assert.equal(formatPercent(1), '100.0 %');
  assert.equal(formatPercent(null), '–');
});

test('another day shows its date', () => {
  const now = new Date('2026-03-05T12:00:00');
  assert.doesNotMatch(formatTime('2026-03-05T08:30:00', now, 'en-GB'), /Mar/);
  assert.match(formatTime('2026-03-04T08:30:00', now, 'en-GB'), /4 Mar 2026/);
});

test('where there is little room the year gives way to the time, or the time to the year', () => {
  const now = new Date('2026-03-05T12:00:00');
  assert.equal(formatShortTime('2026-03-04T08:30:00', now, 'en-GB'), '4 Mar, 08:30');
  assert.equal(formatShortTime('2025-03-04T08:30:00', now, 'en-GB'), '4 Mar 2025');
  assert.equal(formatShortTime(null), '–');
});

test('typed limits become bytes per second, nonsense becomes nothing', () => {
  assert.equal(mebibytesToBandwidth('10'), 10 * 1024 ** 2);
  assert.equal(mebibytesToBandwidth(' 0,5 '), 512 * 1024);
  for (const text of ['', '-1', '1e3', 'fast', '1.2.3', '99999999999999']) assert.equal(mebibytesToBandwidth(text), null);
});

test('a path is split before its last part', () => {
  assert.deepEqual(splitPath('/srv/images/base.qcow2'), { folder: '/srv/images/', name: 'base.qcow2' });
  assert.deepEqual(splitPath('base'), { folder: '', name: 'base' });
});

test('the faults of a problem are told member by member', () => {
  const problem = { title: 'The request is not valid.', errors: { bandwidth: ['must not be negative.'], '': ['is empty.'] } };
  assert.deepEqual(problemFaults(problem), ['bandwidth: must not be negative.', 'is empty.']);
});

test('faults that stand beside their fields are not told again', () => {
  const problem = { errors: { 'stream.bandwidth': ['must not be negative.'], name: ['is required.', 'is too short.'], '': ['is odd.'] } };
  assert.deepEqual(faultsOf(problem, 'name'), ['is required.', 'is too short.']);
  assert.deepEqual(faultsOf(problem, 'host'), []);
  assert.deepEqual(faultsOf(undefined, 'host'), []);
  assert.deepEqual(problemFaults(problem, ['name', 'stream.bandwidth']), ['is odd.']);
});

test('milliseconds have three digits, and one is one', () => {
  assert.equal(formatMilliseconds(0.2345), '0.23 ms');
  assert.equal(formatMilliseconds(71.26), '71.3 ms');
  assert.equal(formatMilliseconds(null), '–');
  assert.equal(plural(1, 'stream'), '1 stream');
  assert.equal(plural(12345, 'stream'), '12,345 streams');
});
