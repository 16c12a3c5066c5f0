/**
 * Mutates valid files of weights and reads them. Whatever comes of it must be weights or a PlusxError,
 * within the time and the memory of a case. A case is a function of the seed and its number.
 */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { standardPreprocessing } from '../../src/data/transforms.js';
import { encodeSafetensors } from '../../src/formats/safetensors.js';
import { packageRoot } from '../../src/package-root.js';
import { Random } from '../../src/random/philox.js';

export interface FuzzOptions {
  readonly mutations: number;
  readonly seed: number;
}

export interface FuzzFigures extends FuzzOptions {
  /** How many cases ended how: `weights`, or the code of the error. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** Of the slowest case. */
  readonly slowestMs: number;
  /** Heap and buffers that the most expensive case took, in bytes, and the size of its file. */
  readonly mostBytes: number;
  readonly mostBytesFile: number;
  /** Bytes read from a file by one case, as a multiple of its size. */
  readonly mostRead: number;
  readonly seconds: number;
}

export interface Seed {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** The fixtures, and a checkpoint of plusx. */
export function seeds(): readonly Seed[] {
  const fixtures = path.join(packageRoot().root, 'test/fixtures');
  const files = ['weights', 'safetensors'].flatMap((folder) =>
    readdirSync(path.join(fixtures, folder))
      .filter((name) => !name.endsWith('.json'))
      .map((name) => ({ name, bytes: readFileSync(path.join(fixtures, folder, name)) })),
  );
  const checkpoint = encodeSafetensors({
    tensors: new Map([
      ['fc.weight', { dtype: 'F32', shape: [2, 4], data: new Float32Array(8) }],
      ['fc.bias', { dtype: 'F32', shape: [2], data: new Float32Array(2) }],
    ]),
    metadata: {
      format: 'pt',
      'plusx.checkpoint': '1',
      'plusx.version': '0.1.0',
      'plusx.model': '{"name":"resnet18","stem":"conv3x3"}',
      'plusx.classes': '["a","b"]',
      'plusx.preprocessing': JSON.stringify(standardPreprocessing(32)),
    },
  });
  return [...files, { name: 'checkpoint.safetensors', bytes: Buffer.concat(checkpoint) }];
}

/** Numbers that lengths, counts and offsets break at. */
const edges = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

/** Case `index`: a file, and one to four changes of it. */
export function mutated(all: readonly Seed[], seed: number, index: number): Seed {
  const random = new Random(seed, 'bench', index);
  const { name, bytes } = random.pick(all);
  let file = Buffer.from(bytes);
  for (let count = random.chance(0.5) ? 1 : 2 + random.below(3); count > 0; count--) {
    if (file.length === 0) break;
    file = change(file, all, random);
  }
  return { name, bytes: file };
}

function change(file: Buffer<ArrayBuffer>, all: readonly Seed[], random: Random) {
  const at = random.below(file.length);
  const rest = file.length - at;
  switch (random.below(8)) {
    case 0: // flip a bit
      file[at]! ^= 1 << random.below(8);
      return file;
    case 1: // another byte, often one that is an opcode
      file[at] = random.pick([
        ...Buffer.from('()]}.0123NRQbcehijqrtu\x80\x81\x85\x8a\x93\x95'),
        0xff,
      ]);
      return file;
    case 2: // a length, a count, an offset
      if (rest >= 4) file.writeUInt32LE(random.pick(edges), at);
      return file;
    case 3:
      if (rest >= 8)
        file.writeBigUInt64LE(BigInt(random.pick(edges)) << BigInt(random.below(33)), at);
      return file;
    case 4: // the end is missing
      return random.chance(0.3) ? file.subarray(0, at) : file;
    case 5: // a piece is missing
      return Buffer.concat([file.subarray(0, at), file.subarray(at + random.below(16) + 1)]);
    case 6: {
      // a piece of this or of another file in between
      const other = Buffer.from(random.pick(all).bytes);
      const from = random.below(other.length);
      const piece = other.subarray(from, from + 1 + random.below(64));
      return Buffer.concat([file.subarray(0, at), piece, file.subarray(at)]);
    }
    default: {
      // a piece of this or of another file in its place
      const other = Buffer.from(random.pick(all).bytes);
      const from = random.below(other.length);
      other.subarray(from, from + 1 + random.below(64)).copy(file, at);
      return file;
    }
  }
}

/** A case that takes longer hangs. */
const longestCaseMs = 10_000;

/**
 * Runs the cases in a thread of their own, which is ended where one of them hangs or where the heap
 * grows beyond 256 MB. Throws with the number of the case.
 */
export async function fuzz({ mutations, seed }: FuzzOptions): Promise<FuzzFigures> {
  const current = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL('./fuzz-worker.js', import.meta.url), {
    workerData: { mutations, seed, current },
    resourceLimits: { maxOldGenerationSizeMb: 256 },
  });
  return new Promise((resolve, reject) => {
    let last = -1;
    const watch = setInterval(() => {
      if (current[0] === last) fail(new Error('it hangs'));
      last = current[0]!;
    }, longestCaseMs);
    const fail = (error: Error) => {
      clearInterval(watch);
      void worker.terminate();
      reject(new Error(`case ${current[0]} of seed ${seed}: ${error.message}`, { cause: error }));
    };
    worker.on('message', (figures: FuzzFigures) => {
      clearInterval(watch);
      resolve(figures);
    });
    worker.on('error', fail);
  });
}
