// The disk as a picture of blocks: what each is made of. Pure; views/block-map.ts draws it.

import { formatBytes, formatPercent } from './format.ts';
import type { DiskMap } from './model.ts';

/** What a block is made of; the fractions of the first four add up to 1. */
export interface Block {
  /** In the overlay and on stable storage, or in the overlay of a disk that no stream works on. */
  readonly durable: number;
  /** In the overlay, and not known to be on stable storage yet. */
  readonly populated: number;
  /** Only in the backing chain. */
  readonly backing: number;
  readonly hole: number;
  /** Guests read it first. */
  readonly hot: boolean;
}

/** More than this are too small to see. */
export const mostBlocks = 1024;

/** How many blocks show a disk: one for each cluster at the most. */
export function blockCount(size: number, clusterSize: number | null | undefined): number {
  return Math.max(1, Math.min(mostBlocks, Math.ceil(size / (clusterSize || 65536))));
}

export function blocksOf(map: DiskMap): Block[] {
  return map.buckets.map((present, index) => {
    const hole = clamp(map.holes[index] ?? 0, present);
    const local = present - hole;
    const durable = map.durable === null ? local : clamp(map.durable[index] ?? 0, local);
    return { durable, populated: local - durable, backing: 1 - present, hole, hot: (map.hot?.[index] ?? 0) > 0 };
  });
}

function clamp(value: number, most: number): number {
  return Math.min(Math.max(value, 0), Math.max(most, 0));
}

/** The grid that fills a width best: whole blocks, of a size that fingers and eyes can tell apart. */
export function gridOf(width: number, count: number): { columns: number; rows: number; pitch: number } {
  const smallest = 9;
  const largest = 16;
  const most = Math.max(1, Math.floor(width / smallest));
  // A power of two where there is room: rows then begin at round offsets.
  let columns = Math.min(count, 2 ** Math.floor(Math.log2(most)));
  let pitch = Math.min(largest, width / columns);
  if (pitch * columns < width * 0.75) {
    columns = Math.min(count, Math.max(columns, Math.floor(width / largest)));
    pitch = Math.min(largest, width / columns);
  }
  return { columns, rows: Math.ceil(count / columns), pitch };
}

export interface MapSums {
  readonly durable: number;
  readonly populated: number;
  readonly backing: number;
  readonly hole: number;
  /** Bytes that guests read first. */
  readonly hot: number;
}

/** In bytes. */
export function sumsOf(map: DiskMap): MapSums {
  const bytes = map.size / Math.max(1, map.buckets.length);
  const blocks = blocksOf(map);
  const sum = (part: (block: Block) => number) => blocks.reduce((total, block) => total + part(block), 0) * bytes;
  return {
    durable: sum((block) => block.durable),
    populated: sum((block) => block.populated),
    backing: map.remaining,
    hole: sum((block) => block.hole),
    hot: (map.hot ?? []).reduce((total, share) => total + share, 0) * bytes,
  };
}

/** The picture in words, for whoever does not see it. */
export function describeMap(map: DiskMap): string {
  const { durable, populated, backing, hole, hot } = sumsOf(map);
  const parts = [
    `${formatBytes(durable + populated)} in the overlay${map.durable === null ? '' : `, ${formatBytes(durable)} of it durable`}`,
    `${formatBytes(backing)} only in the backing chain`,
    `${formatBytes(hole)} holes`,
  ];
  if (map.hot !== null) parts.push(`guests read ${formatBytes(hot)} of it first`);
  const first = map.buckets.findIndex((present) => present < 1);
  const where = first < 0 ? 'Nothing is left to bring in.' : `The first data that is missing is ${formatPercent(first / map.buckets.length)} into the disk.`;
  return `Disk of ${formatBytes(map.size)}: ${parts.join('; ')}. ${where}`;
}
