/**
 * Batches of images in a seeded order. The next batches are decoded while one is being trained on;
 * how many at a time changes nothing in what they hold.
 */
import { PlusxError } from '../errors.js';
import { Random } from '../random/philox.js';

/** Anything with labelled images: an ImageFolder, one that was checked, or one's own. */
export interface ImageSource {
  readonly length: number;
  label(index: number): number;
  file(index: number): string;
  load(index: number): Promise<Uint8Array>;
}

export interface LoaderOptions {
  readonly batchSize: number;
  /** Default false. */
  readonly shuffle?: boolean;
  /** Of the shuffle. Default 0. */
  readonly seed?: number;
  /** Leaves out a last batch that is not full. Default false. */
  readonly dropLast?: boolean;
  /** Batches that are decoded ahead. Default 2. */
  readonly prefetch?: number;
}

export interface ImageBatch {
  /** (N, S, S, 3) */
  readonly images: Uint8Array;
  /** (N) */
  readonly labels: Int32Array;
  readonly files: readonly string[];
}

export class DataLoader implements AsyncIterable<ImageBatch> {
  private iterations = 0;

  constructor(
    readonly source: ImageSource,
    readonly options: LoaderOptions,
  ) {
    const { batchSize } = options;
    if (!Number.isInteger(batchSize) || batchSize < 1) {
      throw new PlusxError(
        'batch-size',
        `batch size must be a whole number of at least 1, got ${batchSize}`,
      );
    }
    if (batchSize > source.length) {
      throw new PlusxError(
        'batch-size',
        `batch size ${batchSize} is larger than the data of ${source.length} images; ` +
          `use at most ${source.length}`,
        { batchSize, images: source.length },
      );
    }
  }

  /** Batches an epoch. */
  get length(): number {
    const exact = this.source.length / this.options.batchSize;
    return this.options.dropLast ? Math.floor(exact) : Math.ceil(exact);
  }

  /** Each iteration is the next epoch, in an order of its own. */
  [Symbol.asyncIterator](): AsyncIterator<ImageBatch> {
    return this.epoch(this.iterations++);
  }

  /** The batches of epoch `epoch`, from batch `startBatch` on: the same ones whenever asked. */
  async *epoch(epoch: number, { startBatch = 0 } = {}): AsyncGenerator<ImageBatch> {
    const order = this.order(epoch);
    const { batchSize, prefetch = 2 } = this.options;
    const ahead: Promise<ImageBatch>[] = [];
    let next = startBatch;
    const start = () => {
      if (next >= this.length) return;
      const batch = this.load(order.subarray(next * batchSize, ++next * batchSize));
      // It is awaited later; a failure before that is not unhandled.
      batch.catch(() => {});
      ahead.push(batch);
    };
    for (let i = 0; i <= prefetch; i++) start();
    while (ahead.length > 0) {
      const batch = await ahead.shift()!;
      start();
      yield batch;
    }
  }

  private order(epoch: number): Uint32Array {
    const { shuffle = false, seed = 0 } = this.options;
    const { length } = this.source;
    if (shuffle) return new Random(seed, 'shuffle', epoch).permutation(length);
    return Uint32Array.from({ length }, (_, i) => i);
  }

  private async load(indices: Uint32Array): Promise<ImageBatch> {
    const parts = await Promise.all(Array.from(indices, (index) => this.source.load(index)));
    const size = parts[0]!.length;
    const images = new Uint8Array(size * parts.length);
    parts.forEach((part, i) => images.set(part, i * size));
    return {
      images,
      labels: Int32Array.from(indices, (index) => this.source.label(index)),
      files: Array.from(indices, (index) => this.source.file(index)),
    };
  }
}
