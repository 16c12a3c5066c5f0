import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'node:test';
import { DataLoader, type ImageBatch, type ImageSource } from '../../src/data/loader.js';

/** Images of two bytes that hold their own index; late ones come first. */
class Numbers implements ImageSource {
  inWork = 0;
  mostInWork = 0;
  loads = 0;

  constructor(
    readonly length: number,
    private readonly broken = -1,
  ) {}

  label(index: number): number {
    return index % 3;
  }

  file(index: number): string {
    return `${index}.png`;
  }

  async load(index: number): Promise<Uint8Array> {
    this.loads++;
    this.mostInWork = Math.max(this.mostInWork, ++this.inWork);
    await sleep((this.length - index) % 4);
    this.inWork--;
    if (index === this.broken) throw new Error(`${index}.png: broken`);
    return Uint8Array.of(index, 255 - index);
  }
}

async function collect(batches: AsyncIterable<ImageBatch>): Promise<ImageBatch[]> {
  const all: ImageBatch[] = [];
  for await (const batch of batches) all.push(batch);
  return all;
}

const filesOf = (batches: ImageBatch[]) => batches.flatMap(({ files }) => files);

test('without shuffling, batches come in order and hold images, labels and files', async () => {
  const loader = new DataLoader(new Numbers(5), { batchSize: 2 });
  assert.equal(loader.length, 3);
  assert.deepEqual(await collect(loader), [
    {
      images: Uint8Array.of(0, 255, 1, 254),
      labels: Int32Array.of(0, 1),
      files: ['0.png', '1.png'],
    },
    {
      images: Uint8Array.of(2, 253, 3, 252),
      labels: Int32Array.of(2, 0),
      files: ['2.png', '3.png'],
    },
    { images: Uint8Array.of(4, 251), labels: Int32Array.of(1), files: ['4.png'] },
  ]);
});

test('dropLast leaves out the batch that is not full', async () => {
  const loader = new DataLoader(new Numbers(5), { batchSize: 2, dropLast: true });
  assert.equal(loader.length, 2);
  assert.equal((await collect(loader)).length, 2);
});

test('each iteration is the next epoch: every image once, in an order of its own', async () => {
  const loader = new DataLoader(new Numbers(40), { batchSize: 8, shuffle: true, seed: 1 });
  const orders: string[][] = [];
  for (let epoch = 0; epoch < 3; epoch++) orders.push(filesOf(await collect(loader)));
  for (const order of orders) assert.equal(new Set(order).size, 40);
  assert.equal(new Set(orders.map((order) => order.join())).size, 3);
  assert.deepEqual(filesOf(await collect(loader.epoch(1))), orders[1]);
  const other = new DataLoader(new Numbers(40), { batchSize: 8, shuffle: true, seed: 2 });
  assert.notDeepEqual(filesOf(await collect(other.epoch(1))), orders[1]);
});

test('an epoch that starts at batch k gives the same batches from there on', async () => {
  const loader = new DataLoader(new Numbers(21), { batchSize: 4, shuffle: true, seed: 5 });
  const whole = await collect(loader.epoch(7));
  for (let startBatch = 0; startBatch <= whole.length; startBatch++) {
    assert.deepEqual(await collect(loader.epoch(7, { startBatch })), whole.slice(startBatch));
  }
});

test('how far it reads ahead changes nothing in the batches and bounds the work', async () => {
  const read = async (prefetch: number) => {
    const source = new Numbers(24);
    const options = { batchSize: 3, shuffle: true, seed: 9, prefetch };
    const batches = await collect(new DataLoader(source, options));
    assert.ok(source.mostInWork <= 3 * (prefetch + 1), `${source.mostInWork} at ${prefetch}`);
    return batches;
  };
  const expected = await read(0);
  for (const prefetch of [1, 2, 100]) assert.deepEqual(await read(prefetch), expected);
});

test('a consumer that stops early leaves nothing running on', async () => {
  const source = new Numbers(100);
  for await (const batch of new DataLoader(source, { batchSize: 2 })) {
    assert.equal(batch.files.length, 2);
    break;
  }
  await sleep(20);
  assert.equal(source.inWork, 0);
  assert.ok(source.loads <= 2 * 4, `${source.loads} loaded`);
});

test('an image that fails stops the epoch at its batch, named, and not before', async () => {
  const loader = new DataLoader(new Numbers(12, 7), { batchSize: 2 });
  const seen: string[] = [];
  await assert.rejects(async () => {
    for await (const { files } of loader) seen.push(...files);
  }, /7\.png: broken/);
  assert.deepEqual(seen, ['0.png', '1.png', '2.png', '3.png', '4.png', '5.png']);
});

test('a batch size that cannot be is refused with both values', () => {
  const load = (batchSize: number) => () => new DataLoader(new Numbers(5), { batchSize });
  assert.throws(load(6), /batch size 6 is larger than the data of 5 images; use at most 5/);
  for (const size of [0, -1, 1.5]) assert.throws(load(size), new RegExp(`got ${size}`));
});
