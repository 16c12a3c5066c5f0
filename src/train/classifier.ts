/** A trained network ready to classify images, with the preprocessing it was trained with. */
import { openBackend, type DeviceChoice, type InstructionSet } from '../backend/devices.js';
import type { Backend } from '../backend/backend.js';
import { decodeBytes, decodeFile, type Pixels } from '../data/decode.js';
import type { Compose } from '../data/transforms.js';
import { PlusxError } from '../errors.js';
import { createModel } from '../models/registry.js';
import { loadCheckpoint, type Checkpoint } from './checkpoint.js';
import { softmax } from './metrics.js';
import { sgd } from './optimizers.js';
import { Session } from './session.js';

export interface DeviceOptions {
  /** Default `auto`. */
  readonly device?: DeviceChoice | undefined;
  /** Default: the processors that this process may use. */
  readonly threads?: number | undefined;
  /** Of the native engine. Default: the best one that the processor has. */
  readonly instructionSet?: InstructionSet | undefined;
  /** Images a run of the network; changes no result. Default 8. */
  readonly batchSize?: number | undefined;
  /** Hears why `auto` did not take the fastest engine. */
  readonly onNotice?: ((line: string) => void) | undefined;
}

export interface ClassProbability {
  readonly class: string;
  readonly probability: number;
}

/** The path of an image file, its bytes, or decoded pixels. */
export type ImageInput = string | Uint8Array | Pixels;

export class Classifier {
  private constructor(
    /** Where it was loaded from. */
    readonly file: string,
    readonly classes: readonly string[],
    readonly preprocessing: Compose,
    readonly session: Session,
    private readonly backend: Backend,
  ) {}

  /** Loads a checkpoint; throws PlusxError `checkpoint-…` where it cannot be used. */
  static async load(file: string, options: DeviceOptions = {}): Promise<Classifier> {
    const checkpoint = await loadCheckpoint(file);
    const { device, threads, instructionSet, onNotice, batchSize = 8 } = options;
    const backend = await openBackend({
      ...(device === undefined ? {} : { device }),
      ...(threads === undefined ? {} : { threads }),
      ...(instructionSet === undefined ? {} : { instructionSet }),
      ...(onNotice === undefined ? {} : { onNotice }),
    });
    try {
      const session = await restore(file, checkpoint, backend, batchSize);
      const { classes, preprocessing } = checkpoint;
      return new Classifier(file, classes, preprocessing, session, backend);
    } catch (error) {
      await backend.dispose();
      throw error;
    }
  }

  /** For people: `native (avx512, 2 threads)`. */
  get device(): string {
    return this.backend.description;
  }

  /** All classes of one image, the most probable first; throws `image-unreadable`. */
  async classify(image: ImageInput): Promise<ClassProbability[]> {
    const [classes] = await this.classifyBatch([image]);
    return classes!;
  }

  /** As `classify`, for several images at once, in their order. */
  async classifyBatch(images: readonly ImageInput[]): Promise<ClassProbability[][]> {
    if (images.length === 0) return [];
    const inputs = await Promise.all(images.map((image) => this.preprocess(image)));
    const bytes = new Uint8Array(inputs.length * inputs[0]!.length);
    inputs.forEach((input, i) => bytes.set(input, i * input.length));
    const logits = await this.session.logits(bytes);
    const K = this.classes.length;
    return images.map((_, n) =>
      softmax(logits.subarray(n * K, (n + 1) * K))
        .map((probability, k) => ({ class: this.classes[k]!, probability }))
        .sort((a, b) => b.probability - a.probability),
    );
  }

  /** Stops the device's threads and frees its memory now. */
  async dispose(): Promise<void> {
    await this.session.dispose();
    await this.backend.dispose();
  }

  private async preprocess(image: ImageInput): Promise<Uint8Array> {
    return this.preprocessing.apply(await decode(image, this.preprocessing));
  }
}

async function decode(image: ImageInput, { exif }: Compose): Promise<Pixels> {
  if (typeof image === 'string') return decodeFile(image, { exif });
  if (image instanceof Uint8Array) return decodeBytes(image, 'image', { exif });
  return image;
}

async function restore(
  file: string,
  { model: { name, ...options }, classes, preprocessing, state }: Checkpoint,
  backend: Backend,
  batchSize: number,
): Promise<Session> {
  const model = createModel(name, { ...options, classes: classes.length });
  const session = await Session.create(model, backend, {
    imageSize: preprocessing.outputSize,
    batchSize,
    normalization: preprocessing.normalization,
    // Never stepped; without momentum it has no state of its own.
    optimizer: sgd({ lr: 0 }),
    seed: 0,
  });
  try {
    await session.importState(state, { strict: false });
  } catch (error) {
    if (!(error instanceof PlusxError)) throw error;
    throw new PlusxError(error.code, `${file} (${name}): ${error.message}`, error.details);
  }
  return session;
}
