/** A session as users of the library make one for a model and a loop of their own. */
import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import {
  CenterCrop,
  Compose,
  conv2d,
  DataLoader,
  flatten,
  globalAvgPool2d,
  imagenet,
  ImageFolder,
  linear,
  loadWeights,
  Module,
  Normalize,
  openBackend,
  relu,
  Resize,
  saveWeights,
  Session,
  sgd,
  ToTensor,
  type SessionOptions,
  type Tensor,
} from '../../src/index.js';
import { readSafetensors } from '../../src/formats/safetensors-file.js';
import { withFolder } from '../formats/temporary-folder.js';
import { drawImages } from './drawn-images.js';

class Small extends Module {
  readonly conv = conv2d(3, 4, { kernelSize: 3, padding: 1 });
  readonly fc = linear(4, 2);

  override forward(x: Tensor): Tensor {
    return this.fc(flatten(globalAvgPool2d(relu(this.conv(x)))));
  }
}

const transform = new Compose([
  new Resize(9),
  new CenterCrop(8),
  new ToTensor(),
  new Normalize(imagenet),
]);
const common = { batchSize: 2, optimizer: sgd({ lr: 0.1 }) };
const backend = await openBackend({ device: 'reference' });
const batch = {
  images: Uint8Array.from({ length: 2 * 8 * 8 * 3 }, (_, i) => (i * 37) % 251),
  labels: Int32Array.of(0, 1),
};

async function firstLosses(options: SessionOptions): Promise<number[]> {
  const session = await Session.create(new Small(), backend, options);
  const losses = [(await session.step(batch)).loss, (await session.step(batch)).loss];
  await session.dispose();
  return losses;
}

test('a transform says the size and the normalisation of the images', async () => {
  const format = { imageSize: 8, normalization: imagenet };
  const byTransform = await firstLosses({ ...common, transform });
  assert.deepEqual(byTransform, await firstLosses({ ...common, ...format }));
  const plain = { mean: [0, 0, 0], std: [1, 1, 1] };
  const other = await firstLosses({ ...common, imageSize: 8, normalization: plain });
  assert.notDeepEqual(byTransform, other);
  assert.deepEqual(
    Session.forecast(new Small(), backend, { ...common, transform }),
    Session.forecast(new Small(), backend, { ...common, ...format }),
  );
});

test('without a seed it is 0', async () => {
  const losses = await firstLosses({ ...common, transform });
  assert.deepEqual(losses, await firstLosses({ ...common, transform, seed: 0 }));
  assert.notDeepEqual(losses, await firstLosses({ ...common, transform, seed: 1 }));
});

test('a loader takes an image folder as it is', async () => {
  await withFolder(async (folder) => {
    await drawImages(folder, { train: [2, 1], val: [1, 1] });
    const images = new ImageFolder(path.join(folder, 'train'), transform);
    const batches = [];
    for await (const found of new DataLoader(images, { batchSize: 2 })) batches.push(found);
    assert.deepEqual(
      batches.map(({ labels, files }) => [[...labels], files.map((file) => path.basename(file))]),
      [
        [
          [0, 0],
          ['0.png', '1.png'],
        ],
        [[1], ['0.png']],
      ],
    );
    assert.deepEqual(batches[1]!.images, await images.load(2));
  });
});

test('saved weights bring another session to the same logits, and say what they are', async () => {
  await withFolder(async (folder) => {
    const file = path.join(folder, 'small.safetensors');
    const trained = await Session.create(new Small(), backend, { ...common, transform });
    await trained.step(batch);
    await saveWeights(file, await trained.exportState(), { steps: '1' });
    assert.deepEqual((await readSafetensors(file)).metadata, { format: 'pt', steps: '1' });

    const other = await Session.create(new Small(), backend, { ...common, transform, seed: 5 });
    assert.notDeepEqual(await other.logits(batch.images), await trained.logits(batch.images));
    await other.importState(await loadWeights(file));
    assert.deepEqual(await other.logits(batch.images), await trained.logits(batch.images));
    await trained.dispose();
    await other.dispose();
  });
});
