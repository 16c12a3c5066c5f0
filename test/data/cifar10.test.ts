/** CIFAR-10 in both published forms: the same images from each, and what is wrong with a folder. */
import assert from 'node:assert/strict';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { openCifar10, openCifar10Test } from '../../src/data/cifar10.js';
import { preprocessingFor } from '../../src/data/open.js';
import { Random } from '../../src/random/philox.js';
import { evaluate } from '../../src/train/evaluate.js';
import { loadCheckpoint } from '../../src/train/checkpoint.js';
import { train } from '../../src/train/trainer.js';
import { withFolder } from '../formats/temporary-folder.js';

const names = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse'];
const classes = [...names, 'ship', 'truck'];
const transform = preprocessingFor('cifar10:', 32, 'honour');
const batches = [...[1, 2, 3, 4, 5].map((i) => `data_batch_${i}`), 'test_batch'];

interface Batch {
  readonly labels: number[];
  /** (N, 3072) */
  readonly data: Uint8Array;
}

function drawn(index: number, count: number): Batch {
  const random = new Random(3, 'demo', index);
  return {
    labels: Array.from({ length: count }, (_, i) => (i + index) % 10),
    data: Uint8Array.from({ length: count * 3072 }, () => random.below(256)),
  };
}

function binary({ labels, data }: Batch): Buffer {
  return Buffer.concat(
    labels.flatMap((label, i) => [Buffer.of(label), data.subarray(i * 3072, (i + 1) * 3072)]),
  );
}

/** A short byte string, as Python 2 wrote text. */
const text = (value: string) => `U${String.fromCharCode(value.length)}${value}`;
const word = (value: number) => `J${Buffer.from(Int32Array.of(value).buffer).toString('latin1')}`;
const pickle = (body: string) => Buffer.from(`\x80\x02${body}.`, 'latin1');

/** The opcodes that Python 2's cPickle and numpy 1 wrote, at protocol 2. */
function python({ labels, data }: Batch, shape = [labels.length, 3072]): Buffer {
  const dtype = `cnumpy\ndtype\n${text('u1')}K\x00K\x01\x87R(K\x03${text('|')}NNN${word(-1)}${word(-1)}K\x00tb`;
  const array =
    `cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85${text('b')}\x87R` +
    `(K\x01${shape.map(word).join('')}\x86${dtype}\x89T${word(data.length).slice(1)}` +
    `${Buffer.from(data).toString('latin1')}tb`;
  const entries = `${text('labels')}](${labels.map(word).join('')}e${text('data')}${array}`;
  return pickle(`}(${text('batch_label')}${text('testing batch 1 of 1')}${entries}u`);
}

const meta = pickle(`}${text('label_names')}](${classes.map(text).join('')}es`);

async function write(folder: string, form: 'binary' | 'python', count = 4): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [i, name] of batches.entries()) {
    const file = path.join(folder, form === 'binary' ? `${name}.bin` : name);
    await writeFile(file, form === 'binary' ? binary(drawn(i, count)) : python(drawn(i, count)));
  }
  if (form === 'python') await writeFile(path.join(folder, 'batches.meta'), meta);
  else await writeFile(path.join(folder, 'batches.meta.txt'), `${classes.join('\n')}\n\n`);
}

test('both forms hold the same images, untouched at 32 pixels, in the same places', async () => {
  await withFolder(async (folder) => {
    await write(path.join(folder, 'cifar-10-batches-bin'), 'binary');
    await write(path.join(folder, 'python'), 'python');
    // The first folder is the one that the archive was unpacked in.
    const forms = [await openCifar10(folder, transform)];
    forms.push(await openCifar10(path.join(folder, 'python'), transform));
    for (const { train, val } of forms) {
      assert.deepEqual(train.classes, classes);
      assert.deepEqual([train.length, val.length], [20, 4]);
      assert.equal(train.countByClass().automobile, 2);
      const [index, y, x, c] = [6, 5, 9, 2];
      const bytes = await train.load(index);
      assert.equal(bytes[(y * 32 + x) * 3 + c], drawn(1, 4).data[2 * 3072 + c * 1024 + y * 32 + x]);
      assert.equal(train.label(index), drawn(1, 4).labels[2]);
      assert.match(train.file(index), /data_batch_2(\.bin)?#2$/);
    }
    const [one, other] = forms.map(({ train }) => train);
    for (let i = 0; i < 20; i++) {
      assert.equal(one!.identity(i), other!.identity(i));
      assert.deepEqual(await one!.load(i), await other!.load(i));
    }
  });
});

test('cifar10:<folder> is trained on and evaluated with like a folder of photographs', async () => {
  await withFolder(async (folder) => {
    const data = path.join(folder, 'cifar');
    await write(data, 'python', 6);
    const options = { folder: `cifar10:${data}`, model: 'resnet20', batchSize: 5, epochs: 1 };
    const { last } = await train({ ...options, out: path.join(folder, 'run') });
    const { training, preprocessing, ...checkpoint } = await loadCheckpoint(last);
    assert.deepEqual(checkpoint.classes, classes);
    assert.deepEqual([preprocessing.resize, preprocessing.outputSize], [32, 32]);
    assert.deepEqual([training!.data.trainImages, training!.data.valImages], [30, 6]);
    // The binary form of the same images does as well, and only its test batch.
    await rm(data, { recursive: true });
    await write(data, 'binary', 6);
    for (const name of batches.slice(0, 5)) await rm(path.join(data, `${name}.bin`));
    const { top1, loss, images } = await evaluate(last, `cifar10:${data}`);
    assert.deepEqual([top1, images], [training!.progress.epochs[0]!.valTop1, 6]);
    assert.equal(loss, training!.progress.epochs[0]!.valLoss);
  });
});

test('what is missing is named; without its names the classes are the published ones', async () => {
  await withFolder(async (folder) => {
    await assert.rejects(openCifar10(path.join(folder, 'nowhere'), transform), {
      code: 'cifar10-missing',
      message: /nowhere: there is no such folder; name the folder with data_batch_1\.bin/,
    });
    await assert.rejects(openCifar10(folder, transform), {
      message: /no batch of CIFAR-10 is here/,
    });
    await write(folder, 'binary');
    await rm(path.join(folder, 'batches.meta.txt'));
    const held = await openCifar10Test(folder, transform, [...classes].reverse());
    assert.equal(held.label(0), 9 - drawn(5, 4).labels[0]!);
    await assert.rejects(openCifar10Test(folder, transform, ['cat', 'dog']), {
      code: 'class-unknown',
      message: /class "airplane" of CIFAR-10 is not among the 2 that are trained \(cat, dog\)/,
    });
    for (const name of ['data_batch_3.bin', 'test_batch.bin']) await rm(path.join(folder, name));
    await assert.rejects(openCifar10(folder, transform), {
      code: 'cifar10-missing',
      message: /: data_batch_3\.bin, test_batch\.bin are missing, to train needs them; unpack/,
    });
  });
});

test('a file that is damaged is named with what is wrong', async () => {
  await withFolder(async (folder) => {
    await write(folder, 'binary');
    const file = (name: string) => path.join(folder, name);
    const refused = (message: RegExp, code = 'cifar10-corrupt') =>
      assert.rejects(openCifar10(folder, transform), { code, message });
    const batch = drawn(1, 4);
    await writeFile(file('data_batch_2.bin'), binary(batch).subarray(1));
    await refused(/data_batch_2\.bin: it has 12291 bytes, no whole number of images of 3073 bytes/);
    await writeFile(file('data_batch_2.bin'), binary({ ...batch, labels: [0, 1, 10, 2] }));
    await refused(/data_batch_2\.bin: image 2 has the label 10, there are 10 classes/);
    await writeFile(file('batches.meta.txt'), 'cat\ncat\n');
    await refused(/batches\.meta\.txt: it names 2 classes \(cat, cat\)/);

    for (const name of [...batches.map((each) => `${each}.bin`), 'batches.meta.txt']) {
      await rm(file(name));
    }
    await write(folder, 'python');
    await writeFile(file('data_batch_1'), python({ ...batch, labels: [0, 1, 2] }, [4, 3072]));
    await refused(/data_batch_1: its "data" is \[4,3072\] for 3 labels, \[3,3072\] is expected/);
    await writeFile(file('data_batch_1'), pickle(`}${text('labels')}](Necount`));
    await assert.rejects(openCifar10(folder, transform), { message: /data_batch_1/ });
    await writeFile(file('data_batch_1'), pickle(`}${text('labels')}](Nes`));
    await refused(/data_batch_1: its "labels" are no list of whole numbers/);
    await writeFile(file('data_batch_1'), pickle(`}${text('labels')}](K\x01es`));
    await refused(/data_batch_1: its "data" is no array of bytes/);
    await writeFile(file('data_batch_1'), pickle('cos\nsystem\n(Utouch /tmp/xtR'));
    await refused(/os\.system/, 'checkpoint-unsafe');
    await writeFile(file('batches.meta'), pickle(']'));
    await refused(/batches\.meta: it holds no dict/);
    await rename(file('batches.meta'), file('data_batch_1'));
    await writeFile(file('data_batch_1'), python(batch).subarray(0, 5000));
    await refused(/data_batch_1/, 'checkpoint-truncated');
  });
});
