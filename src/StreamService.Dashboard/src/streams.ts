// Pure rules about streams: what a status means, in which order people want to see them, what they add up to.

import type { DiskAddress, StreamState, StreamStatus } from './model.ts';

const sentences: Record<StreamState, string> = {
  idle: 'Never streamed.',
  queued: 'Waits for its turn.',
  running: 'Copies what is still missing from the backing chain.',
  paused: 'Paused by a caller; goes on when resumed.',
  waiting: 'Waits for something that is missing, and retries by itself.',
  finalizing: 'Everything is copied: makes it durable, then drops the backing link.',
  completed: 'The disk is independent of its backing chain.',
  failed: 'Gave up. What was copied stays, and the disk is valid.',
  cancelled: 'Cancelled by a caller. What was copied stays, and a later stream goes on from it.',
};

export function describeState(state: StreamState): string {
  return sentences[state] ?? '';
}

export function isFinished(state: StreamState): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled' || state === 'idle';
}

/** How much of what this stream has to copy is copied: 0 to 1; null where nobody can tell yet. */
export function progress(status: StreamStatus): number | null {
  return share(status, status.bytesStreamed);
}

/** The part of {@link progress} that a crash can no longer undo. */
export function durableProgress(status: StreamStatus): number | null {
  return share(status, status.bytesDurable);
}

function share(status: StreamStatus, bytes: number): number | null {
  if (status.state === 'completed') return 1;
  const total = status.bytesStreamed + status.bytesRemaining;
  const fraction = total > 0 ? bytes / total : status.size > 0 ? status.offset / status.size : null;
  return fraction === null ? null : Math.min(1, Math.max(0, fraction));
}

/** The same for every stream of one disk. */
export function diskKey(disk: DiskAddress): string {
  return `${disk.domain}/${disk.path}`;
}

export interface StreamGroups {
  /** Failed or waiting, and nothing newer has been done about the disk. */
  readonly attention: readonly StreamStatus[];
  readonly active: readonly StreamStatus[];
  readonly finished: readonly StreamStatus[];
}

/** Newest first in every group, by times that do not change while a stream lives in it: rows keep their places. */
export function group(streams: Iterable<StreamStatus>): StreamGroups {
  const all = [...streams].filter((stream) => stream.state !== 'idle');
  const newest = newestByDisk(all);
  const attention: StreamStatus[] = [];
  const active: StreamStatus[] = [];
  const finished: StreamStatus[] = [];
  for (const stream of all) {
    if (stream.state === 'waiting' || (stream.state === 'failed' && newest.get(diskKeyOf(stream)) === stream)) attention.push(stream);
    else if (isFinished(stream.state)) finished.push(stream);
    else active.push(stream);
  }
  attention.sort(byCreation);
  active.sort(byCreation);
  finished.sort((a, b) => later(a.finishedAt ?? a.updatedAt, b.finishedAt ?? b.updatedAt) || byCreation(a, b));
  return { attention, active, finished };
}

/** The stream that says most about each disk: the one that lives, or else the last one; by {@link diskKey}. */
export function newestByDisk(streams: Iterable<StreamStatus>): ReadonlyMap<string, StreamStatus> {
  const newest = new Map<string, StreamStatus>();
  for (const stream of streams) {
    if (stream.state === 'idle') continue;
    const key = diskKeyOf(stream);
    const other = newest.get(key);
    if (other === undefined || byCreation(stream, other) < 0) newest.set(key, stream);
  }
  return newest;
}

export interface Totals {
  readonly attention: number;
  readonly active: number;
  readonly bytesPerSecond: number;
  readonly bytesRemaining: number;
}

export function totals(groups: StreamGroups): Totals {
  const live = [...groups.active, ...groups.attention.filter((stream) => stream.state === 'waiting')];
  return {
    attention: groups.attention.length,
    active: groups.active.length,
    bytesPerSecond: groups.active.reduce((sum, stream) => sum + currentRate(stream), 0),
    bytesRemaining: live.reduce((sum, stream) => sum + stream.bytesRemaining, 0),
  };
}

/** A stream that does not copy has no rate, whatever its last measurement said. */
export function currentRate(status: StreamStatus): number {
  return status.state === 'running' ? (status.bytesPerSecond ?? 0) : 0;
}

function diskKeyOf(stream: StreamStatus): string {
  return diskKey({ domain: stream.domain, path: stream.path });
}

function byCreation(a: StreamStatus, b: StreamStatus): number {
  return later(a.createdAt, b.createdAt) || (a.streamId < b.streamId ? -1 : a.streamId > b.streamId ? 1 : 0);
}

function later(a: string, b: string): number {
  return Date.parse(b) - Date.parse(a) || 0;
}
