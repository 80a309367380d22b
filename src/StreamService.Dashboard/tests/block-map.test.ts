import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockCount, blocksOf, describeMap, gridOf, sumsOf } from '../src/block-map.ts';
import type { DiskMap } from '../src/model.ts';

function map(change: Partial<DiskMap>): DiskMap {
  return { size: 400, clusterSize: 65536, populated: 0, remaining: 0, buckets: [1, 0.5, 0, 1], holes: [0, 0, 0, 1], durable: [0.75, 0.5, 0, 0], hot: null, ...change };
}

test('each block is made of parts that add up to it', () => {
  const blocks = blocksOf(map({ hot: [0, 0.1, 0, 0] }));
  assert.deepEqual(blocks[0], { durable: 0.75, populated: 0.25, backing: 0, hole: 0, hot: false });
  assert.deepEqual(blocks[1], { durable: 0.5, populated: 0, backing: 0.5, hole: 0, hot: true });
  assert.deepEqual(blocks[3], { durable: 0, populated: 0, backing: 0, hole: 1, hot: false });
  for (const { durable, populated, backing, hole } of blocks) assert.equal(durable + populated + backing + hole, 1);
});

test('where no stream is at work, what is there is there', () => {
  assert.deepEqual(blocksOf(map({ durable: null }))[0], { durable: 1, populated: 0, backing: 0, hole: 0, hot: false });
});

test('rounding never makes a part negative', () => {
  const [block] = blocksOf(map({ buckets: [0.3333], holes: [0.3334], durable: [0.2] }));
  assert.ok(block!.durable >= 0 && block!.populated >= 0 && block!.backing >= 0);
});

test('sums and words say the same as the picture', () => {
  assert.deepEqual(sumsOf(map({ remaining: 150 })), { durable: 125, populated: 25, backing: 150, hole: 100, hot: 0 });
  assert.match(describeMap(map({ remaining: 150 })), /150 B in the overlay, 125 B of it durable; 150 B only in the backing chain; 100 B holes.*25\.0 % into the disk/);
  assert.match(describeMap(map({ buckets: [1, 1], holes: [0, 0], durable: null })), /Nothing is left/);
});

test('there are as many blocks as clusters, and never too many', () => {
  assert.equal(blockCount(64 * 1024 ** 2, 65536), 1024);
  assert.equal(blockCount(1024 ** 2, 65536), 16);
  assert.equal(blockCount(1024 ** 4, 65536), 1024);
  assert.equal(blockCount(0, null), 1);
});

test('the grid fits its width and holds every block', () => {
  for (const width of [280, 340, 700, 1100]) {
    for (const count of [1, 16, 500, 1024]) {
      const { columns, rows, pitch } = gridOf(width, count);
      assert.ok(columns * pitch <= width + 0.01 && columns * rows >= count && pitch >= 8.9, `${width}, ${count}: ${columns} × ${rows} of ${pitch}`);
    }
  }
});
