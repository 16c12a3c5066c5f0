/**
 * Preprocessing, named as in torchvision. A pipeline is plain data: it is stored in the checkpoint,
 * so that training, evaluation and prediction see the same pixels.
 *
 * Resize and CenterCrop run on the host and give bytes; ToTensor and Normalize run on the device
 * as the first step of every plan, with the roundings of torchvision's fp32 arithmetic.
 */
import { z } from 'zod';
import { PlusxError } from '../errors.js';
import type { ExifPolicy, Pixels } from './decode.js';
import { resizeAndCrop } from './resize.js';

/** Mean and standard deviation of ImageNet's channels, for pixels in [0, 1]. */
export const imagenet = {
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
} as const;

/** Per channel: y = (x - mean)/std. */
export interface Normalization {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** The shorter side becomes `size` pixels; antialiased bilinear, as Pillow. */
export class Resize {
  constructor(readonly size: number) {
    expectSize('Resize', size);
  }
}

/** The square of `size` pixels in the middle, with black borders where the image is smaller. */
export class CenterCrop {
  constructor(readonly size: number) {
    expectSize('CenterCrop', size);
  }
}

/** Bytes to numbers in [0, 1]: x/255. */
export class ToTensor {}

/** (x - mean)/std per channel; the arguments are lists of three. */
export class Normalize {
  readonly mean: readonly number[];
  readonly std: readonly number[];

  constructor({ mean, std }: Normalization) {
    if (mean.length !== 3 || std.length !== 3 || std.some((value) => !(value > 0))) {
      throw new PlusxError(
        'option',
        `Normalize: mean and std need three values and std above 0, ` +
          `got [${mean.join(', ')}] and [${std.join(', ')}]`,
      );
    }
    this.mean = mean;
    this.std = std;
  }
}

export type Transform = Resize | CenterCrop | ToTensor | Normalize;

const preprocessingSchema = z.object({
  resize: z.number().int().positive(),
  crop: z.number().int().positive(),
  mean: z.array(z.number()).length(3),
  std: z.array(z.number().positive()).length(3),
  exif: z.enum(['honour', 'ignore']),
});

/** What a checkpoint stores of a pipeline. */
export type Preprocessing = z.infer<typeof preprocessingSchema>;

/** Resize, CenterCrop, ToTensor and Normalize in this order; throws where one is missing. */
export class Compose {
  readonly resize: number;
  /** Side of the resulting square in pixels. */
  readonly outputSize: number;
  readonly normalization: Normalization;
  readonly exif: ExifPolicy;

  constructor(transforms: readonly Transform[], options: { readonly exif?: ExifPolicy } = {}) {
    const [resize, crop, tensor, normalize] = transforms;
    const complete =
      transforms.length === 4 &&
      resize instanceof Resize &&
      crop instanceof CenterCrop &&
      tensor instanceof ToTensor &&
      normalize instanceof Normalize;
    if (!complete) {
      throw new PlusxError(
        'option',
        'Compose: needs Resize, CenterCrop, ToTensor and Normalize in this order, got ' +
          (transforms.map((transform) => transform.constructor.name).join(', ') || 'nothing'),
      );
    }
    this.resize = resize.size;
    this.outputSize = crop.size;
    this.normalization = { mean: normalize.mean, std: normalize.std };
    this.exif = options.exif ?? 'honour';
  }

  /** The bytes (S, S, 3) that the network sees of an image. */
  apply(image: Pixels): Uint8Array {
    return resizeAndCrop(image, this.resize, this.outputSize).data;
  }

  toJSON(): Preprocessing {
    const { mean, std } = this.normalization;
    return {
      resize: this.resize,
      crop: this.outputSize,
      mean: [...mean],
      std: [...std],
      exif: this.exif,
    };
  }

  /** The pipeline that `toJSON` wrote; throws where it is none. */
  static fromJSON(json: unknown): Compose {
    const parsed = preprocessingSchema.safeParse(json);
    if (!parsed.success) {
      const issue = z.prettifyError(parsed.error).replace(/\n/g, ' ');
      throw new PlusxError('preprocessing', `the stored preprocessing is not usable: ${issue}`);
    }
    const { resize, crop, mean, std, exif } = parsed.data;
    const transforms = [
      new Resize(resize),
      new CenterCrop(crop),
      new ToTensor(),
      new Normalize({ mean, std }),
    ];
    return new Compose(transforms, { exif });
  }
}

/** Resize(round(S·256/224)), CenterCrop(S) and ImageNet's normalisation. */
export function standardPreprocessing(imageSize: number, exif: ExifPolicy = 'honour'): Compose {
  expectSize('image size', imageSize);
  const transforms = [
    new Resize(Math.round((imageSize * 256) / 224)),
    new CenterCrop(imageSize),
    new ToTensor(),
    new Normalize(imagenet),
  ];
  return new Compose(transforms, { exif });
}

/** What ToTensor and Normalize make of bytes, NHWC, with torchvision's fp32 roundings. */
export function toFloat(bytes: Uint8Array, { mean, std }: Normalization): Float32Array {
  const { fround } = Math;
  const means = mean.map(fround);
  const stds = std.map(fround);
  return Float32Array.from(bytes, (value, i) => {
    const scaled = fround(value / 255);
    return fround(fround(scaled - means[i % 3]!) / stds[i % 3]!);
  });
}

function expectSize(who: string, size: number): void {
  if (Number.isInteger(size) && size >= 1 && size <= 16384) return;
  throw new PlusxError(
    'option',
    `${who}: size must be a whole number from 1 to 16384 pixels, got ${size}`,
  );
}
