import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BudgetForm, DeployForm, MigrationForm, StreamForm } from '../src/forms.ts';
import type { Domain, Image } from '../src/model.ts';

const image: Image = { repository: 'golden', name: 'debian-13', format: 'raw', size: 1024 ** 3, clusterSize: null, backingChain: [], refusal: null };
const domain = (name: string): Domain => ({ id: name, name, host: 'h1', state: 'running', disks: [], deployment: null });

test('a deployment is what was typed, in the units of the API', () => {
  const form = new DeployForm(image, [image, { ...image, name: 'broken', refusal: 'has no format.' }], ['h1']);
  assert.deepEqual(form.images.map(({ name }) => name), ['debian-13']);
  form.name = ' web-7 ';
  form.sizeGiB = '1.5';
  form.fields.bandwidth = '32';
  assert.equal(form.check(), undefined);
  assert.deepEqual(form.request(), {
    name: 'web-7', host: 'h1', image: 'golden/debian-13', format: 'qcow2', memoryMiB: 1024, vcpus: 1, copyOnRead: true, size: 1.5 * 1024 ** 3,
    stream: { mode: 'full', bandwidth: 32 * 1024 ** 2, policy: 'adaptive', priority: 'normal', order: 'hotFirst' },
  });
  form.stream = false;
  form.sizeGiB = '';
  assert.equal(form.request().stream, null);
  assert.equal('size' in form.request(), false);
});

test('what cannot be a number is told beside its field, before the service is asked', () => {
  const form = new DeployForm(image, [image], ['h1']);
  form.memoryMiB = 'much';
  form.sizeGiB = 'big';
  form.fields.bandwidth = '-1';
  assert.deepEqual(Object.keys(form.check()?.errors as object), ['memoryMiB', 'size', 'stream.bandwidth']);
});

test('a migration goes where its domain can go', () => {
  const form = new MigrationForm([domain('a'), domain('b')], ({ name }) => (name === 'a' ? ['h2', 'h3'] : ['h3']));
  form.destination = 'h2';
  form.choose('b');
  assert.equal(form.destination, 'h3');
  form.bandwidth = 'x';
  assert.deepEqual(Object.keys(form.check()?.errors as object), ['stream.bandwidth']);
});

test('a stream is started with what the form says', () => {
  const form = new StreamForm(domain('a'), { target: 'vda', streamable: true });
  form.fields.priority = 'high';
  assert.deepEqual(form.request(), { mode: 'full', bandwidth: 0, policy: 'adaptive', priority: 'high', order: 'sequential' });
});

test('a budget keeps its windows, and one of all streams matches nothing', () => {
  const windows = [{ from: '22:00', to: '06:00', timeZone: 'Europe/Berlin', bytesPerSecond: 0 }];
  const form = new BudgetForm({ name: 'a', scope: 'host', match: 'h1', bytesPerSecond: 1024 ** 2, windows, origin: 'api', presentBytesPerSecond: 0, streams: 0 });
  assert.deepEqual(form.request(), { scope: 'host', match: 'h1', bytesPerSecond: 1024 ** 2, windows });
  form.scope = 'service';
  assert.equal(form.request().match, null);
  assert.deepEqual(Object.keys(new BudgetForm(undefined).check()?.errors as object), ['name']);
});
