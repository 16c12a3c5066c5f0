/**
 * From a file to pixels: 8-bit RGB, as Pillow's `convert('RGB')` gives them. The one place that
 * knows sharp (libvips).
 *
 * Files are hostile until decoded within limits: the content decides the format, not the name, and
 * what is truncated, empty, no photograph or absurdly large is refused with the reason.
 */
import { readFile, stat } from 'node:fs/promises';
import sharp from 'sharp';
import { PlusxError } from '../errors.js';

/** 8-bit RGB pixels, (height, width, 3). */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** `honour` turns the picture upright as its camera says; torchvision ignores it. */
export type ExifPolicy = 'honour' | 'ignore';

export interface DecodeOptions {
  /** Default `honour`. An invalid orientation is ignored. */
  readonly exif?: ExifPolicy;
  /** Largest picture in pixels. Default 100 million. */
  readonly maxPixels?: number;
}

const defaultMaxPixels = 100_000_000;
const maxFileBytes = 512 * 2 ** 20;

const photographFormats = new Set(['jpeg', 'png', 'webp', 'gif', 'tiff', 'heif', 'avif']);

/**
 * Reads and decodes one image file: JPEG, PNG, WebP, GIF (first frame), TIFF or AVIF, of any mode.
 * Grey becomes three equal channels, alpha is dropped as in Pillow, 16 bits are scaled to 8, CMYK
 * becomes RGB by Pillow's formula; colour profiles are not applied. Other than with Pillow, 16-bit
 * grey is scaled, not clipped, and transparent pixels of a GIF are black. Throws `image-unreadable`
 * naming the file.
 */
export async function decodeFile(file: string, options: DecodeOptions = {}): Promise<Pixels> {
  const { size } = await stat(file).catch(() => {
    throw unreadable(file, 'the file cannot be opened');
  });
  if (size === 0) throw unreadable(file, 'the file is empty (0 bytes)');
  if (size > maxFileBytes) {
    throw unreadable(file, `the file has ${size} bytes, the limit is ${maxFileBytes}`);
  }
  const bytes = await readFile(file).catch(() => {
    throw unreadable(file, 'the file cannot be read');
  });
  return decodeBytes(bytes, file, options);
}

/** As `decodeFile`, for bytes at hand; `name` appears in errors. */
export async function decodeBytes(
  bytes: Uint8Array,
  name: string,
  { exif = 'honour', maxPixels = defaultMaxPixels }: DecodeOptions = {},
): Promise<Pixels> {
  try {
    const image = sharp(bytes, {
      // At `truncated`, libvips fills the missing part of a TIFF and goes on.
      failOn: 'error',
      limitInputPixels: false,
      ignoreIcc: true,
      sequentialRead: true,
    });
    const { format, width, height, space, depth, orientation = 1 } = await image.metadata();
    if (!photographFormats.has(format)) {
      throw unreadable(name, `${format} is not a photograph format`);
    }
    if (width * height > maxPixels) {
      throw unreadable(
        name,
        `the image is ${width}×${height} = ${width * height} pixels, the limit is ${maxPixels}`,
      );
    }
    const upright = exif === 'honour' && orientation >= 2 && orientation <= 8;
    if (upright) image.autoOrient();
    const inks = space === 'cmyk' && depth === 'uchar';
    if (inks) image.pipelineColourspace('cmyk').toColourspace('cmyk');
    else image.toColourspace('srgb').removeAlpha();
    const { data, info } = await image.raw({ depth: 'uchar' }).toBuffer({
      resolveWithObject: true,
    });
    const rgb = inks ? cmykToRgb(data, info.channels) : toRgb(data, info.channels);
    return { width: info.width, height: info.height, data: rgb };
  } catch (error) {
    if (error instanceof PlusxError) throw error;
    throw unreadable(name, unknownFormat(bytes) ?? reasonOf(error));
  }
}

function toRgb(data: Uint8Array, channels: number): Uint8Array {
  if (channels === 3) return data;
  const pixels = data.length / channels;
  const rgb = new Uint8Array(pixels * 3);
  for (let p = 0; p < pixels; p++) {
    for (let c = 0; c < 3; c++) rgb[p * 3 + c] = data[p * channels + (channels < 3 ? 0 : c)]!;
  }
  return rgb;
}

/** (255 - c)·(255 - k)/255 per ink, with the rounding of Pillow's convert. */
function cmykToRgb(data: Uint8Array, channels: number): Uint8Array {
  const pixels = data.length / channels;
  const rgb = new Uint8Array(pixels * 3);
  for (let p = 0; p < pixels; p++) {
    const light = 255 - data[p * channels + 3]!;
    for (let c = 0; c < 3; c++) {
      const product = data[p * channels + c]! * light + 128;
      rgb[p * 3 + c] = light - ((product + (product >> 8)) >> 8);
    }
  }
  return rgb;
}

/** Formats that torchvision reads and libvips' packages do not. */
function unknownFormat(bytes: Uint8Array): string | undefined {
  const start = Buffer.from(bytes.subarray(0, 2)).toString('latin1');
  const format = start === 'BM' ? 'BMP' : /^P[1-6]$/.test(start) ? 'PNM' : undefined;
  return format && `${format} files are not supported; convert it to PNG or JPEG`;
}

/** libvips' words, put as a reason. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const words = message.replace('Input buffer has corrupt header:', '').split('\n');
  const detail = words.map((line) => line.trim()).find((line) => line !== '');
  const said = detail === undefined ? '' : ` (${detail})`;
  if (/unsupported image format/i.test(message)) return 'it is not an image in a known format';
  if (/premature end|truncated|end of (\w+ )*(file|stream|image|data)/i.test(message)) {
    return `the image is truncated${said}`;
  }
  if (/unsupported|not supported|no decod/i.test(message)) return `it cannot be decoded${said}`;
  return `the image is truncated or damaged${said}`;
}

function unreadable(file: string, reason: string): PlusxError {
  return new PlusxError(
    'image-unreadable',
    `${file}: ${reason}; repair or remove it, or go on without such files with --skip-bad`,
    { file, reason },
  );
}
