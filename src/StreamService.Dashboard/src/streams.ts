// Pure rules about streams: what a status means, and in words.

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

/** The states of streams that are not over. */
export const activeStates: readonly StreamState[] = ['queued', 'running', 'paused', 'waiting', 'finalizing'];

/** All that a stream can be in, in the order of its life. */
export const allStates: readonly Exclude<StreamState, 'idle'>[] = ['running', 'finalizing', 'queued', 'paused', 'waiting', 'failed', 'completed', 'cancelled'];

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

/** Why it is as it is, in a sentence: what it waits for, why it failed, what holds it back. */
export function explain(status: StreamStatus): string {
  if (status.error) return status.error.detail ?? status.error.title ?? 'Failed.';
  return status.reason ? sentence(status.reason) : describeState(status.state);
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function nameOf(status: StreamStatus): string {
  return `${status.domainName || status.domain} ${status.path}`;
}
