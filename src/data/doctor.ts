/**
 * Looks at every image before the first epoch, so that a broken file is named at once and not
 * hours into a run. What it has decoded it keeps, within a budget: the look is not wasted.
 */
import type { LabelledImages, Sample } from './labelled-images.js';
import { PlusxError } from '../errors.js';

export interface BadImage {
  readonly file: string;
  readonly reason: string;
}

export interface CheckOptions {
  /** Images in work at a time. Default 8. */
  readonly concurrency?: number;
  /** Most bytes of decoded images to keep. Default 1 GiB. */
  readonly cacheBytes?: number;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface Checked {
  /** The samples that can be read, in their order. */
  readonly dataset: CachedImages;
  readonly bad: readonly BadImage[];
}

/** A folder's images, those decoded before kept in memory. */
export class CachedImages {
  constructor(
    readonly folder: LabelledImages,
    private readonly cache: ReadonlyMap<Sample, Uint8Array>,
  ) {}

  get length(): number {
    return this.folder.length;
  }

  label(index: number): number {
    return this.folder.label(index);
  }

  file(index: number): string {
    return this.folder.file(index);
  }

  /** The bytes (S, S, 3) of sample `index`. */
  load(index: number): Promise<Uint8Array> {
    const known = this.cache.get(this.folder.samples[index]!);
    return known ? Promise.resolve(known) : this.folder.load(index);
  }
}

/** Reads and decodes every image; the caller decides what bad ones mean. */
export async function checkImages(
  folder: LabelledImages,
  options: CheckOptions = {},
): Promise<Checked> {
  const { concurrency = 8, cacheBytes = 2 ** 30, onProgress, signal } = options;
  const cache = new Map<Sample, Uint8Array>();
  const bad = new Map<number, BadImage>();
  const imageBytes = folder.transform.outputSize ** 2 * 3;
  let next = 0;
  let done = 0;

  const worker = async () => {
    while (next < folder.length) {
      signal?.throwIfAborted();
      const index = next++;
      try {
        const bytes = await folder.load(index);
        if ((cache.size + 1) * imageBytes <= cacheBytes) cache.set(folder.samples[index]!, bytes);
      } catch (error) {
        if (!(error instanceof PlusxError)) throw error;
        const { file } = folder.samples[index]!;
        bad.set(index, {
          file,
          reason: typeof error.details.reason === 'string' ? error.details.reason : error.message,
        });
      }
      onProgress?.(++done, folder.length);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));

  const good = folder.samples.filter((_, index) => !bad.has(index));
  const inOrder = [...bad].sort(([a], [b]) => a - b).map(([, image]) => image);
  return { dataset: new CachedImages(folder.subset(good), cache), bad: inOrder };
}

/** The error for images that cannot be used: names the first few, with reasons. */
export function badImagesError(bad: readonly BadImage[]): PlusxError {
  const shown = bad.slice(0, 5).map(({ file, reason }) => `${file}: ${reason}`);
  const more = bad.length > shown.length ? `\n… and ${bad.length - shown.length} more` : '';
  return new PlusxError(
    'bad-images',
    `${bad.length} ${bad.length === 1 ? 'image' : 'images'} cannot be used:\n` +
      `${shown.join('\n')}${more}\nrepair or remove them, or add --skip-bad to go on without them`,
    { bad },
  );
}
