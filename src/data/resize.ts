/**
 * Antialiased bilinear resizing of 8-bit images, bit for bit as Pillow computes it, and
 * torchvision's rules for sizes and crops around it.
 *
 * Each output pixel is a weighted mean of the input pixels under a triangle whose width grows with
 * the reduction: first along rows, then along columns, each pass in fixed point with 22 fractional
 * bits and rounded to 8 bits. Source: Pillow's documented convolution-based resampling; Turkowski
 * 1990, Filters for Common Resampling Tasks.
 */
import type { Pixels } from './decode.js';

const fractionBits = 22;

/** Weights of the input pixels `first[i]` … `first[i] + taps - 1` for output pixel i. */
interface Filter {
  readonly taps: number;
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Int32Array; // (outputs, taps)
}

function triangleFilter(inSize: number, outSize: number): Filter {
  const scale = inSize / outSize;
  const support = Math.max(scale, 1);
  const taps = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(outSize);
  const count = new Int32Array(outSize);
  const weights = new Int32Array(outSize * taps);
  const exact = new Float64Array(taps);
  for (let i = 0; i < outSize; i++) {
    const centre = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(inSize, Math.trunc(centre + support + 0.5));
    let sum = 0;
    for (let t = 0; t < end - start; t++) {
      const distance = Math.abs((t + start - centre + 0.5) * (1 / support));
      exact[t] = distance < 1 ? 1 - distance : 0;
      sum += exact[t]!;
    }
    first[i] = start;
    count[i] = end - start;
    for (let t = 0; t < end - start; t++) {
      const weight = exact[t]! / sum;
      weights[i * taps + t] = Math.trunc(weight * 2 ** fractionBits + 0.5);
    }
  }
  return { taps, first, count, weights };
}

/**
 * Resizes to exactly width × height. Rows come first, except where columns shrink while rows grow:
 * then, as in Pillow 13, the other order is cheaper.
 */
export function resizeBilinear(image: Pixels, width: number, height: number): Pixels {
  const rows = (from: Pixels) => (width === from.width ? from : resizeRows(from, width));
  const columns = (from: Pixels) => (height === from.height ? from : resizeColumns(from, height));
  const columnsFirst = height < image.height && width > image.width;
  return columnsFirst ? rows(columns(image)) : columns(rows(image));
}

const half = 1 << (fractionBits - 1);

function resizeRows({ width: inWidth, height, data }: Pixels, width: number): Pixels {
  const { taps, first, count, weights } = triangleFilter(inWidth, width);
  const out = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let r = half;
      let g = half;
      let b = half;
      let from = (y * inWidth + first[x]!) * 3;
      const end = x * taps + count[x]!;
      for (let t = x * taps; t < end; t++, from += 3) {
        const weight = weights[t]!;
        r += data[from]! * weight;
        g += data[from + 1]! * weight;
        b += data[from + 2]! * weight;
      }
      const to = (y * width + x) * 3;
      out[to] = clampToByte(r >> fractionBits);
      out[to + 1] = clampToByte(g >> fractionBits);
      out[to + 2] = clampToByte(b >> fractionBits);
    }
  }
  return { width, height, data: out };
}

function resizeColumns({ width, height: inHeight, data }: Pixels, height: number): Pixels {
  const { taps, first, count, weights } = triangleFilter(inHeight, height);
  const row = width * 3;
  const out = new Uint8Array(row * height);
  const sums = new Int32Array(row);
  for (let y = 0; y < height; y++) {
    sums.fill(half);
    for (let t = 0; t < count[y]!; t++) {
      const weight = weights[y * taps + t]!;
      const from = (first[y]! + t) * row;
      for (let x = 0; x < row; x++) sums[x]! += data[from + x]! * weight;
    }
    for (let x = 0; x < row; x++) out[y * row + x] = clampToByte(sums[x]! >> fractionBits);
  }
  return { width, height, data: out };
}

function clampToByte(value: number): number {
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/** torchvision's Resize(int): the shorter side becomes `size`, the longer one is cut off to it. */
export function resizeShorterSide(image: Pixels, size: number): Pixels {
  const { width, height } = image;
  const longer = Math.trunc((size * Math.max(width, height)) / Math.min(width, height));
  return width <= height
    ? resizeBilinear(image, size, longer)
    : resizeBilinear(image, longer, size);
}

/** torchvision's CenterCrop: a square of `size`, with black borders where the image is smaller. */
export function centerCrop(image: Pixels, size: number): Pixels {
  const padded = padTo(image, size);
  const top = roundHalfToEven((padded.height - size) / 2);
  const left = roundHalfToEven((padded.width - size) / 2);
  if (padded.width === size && padded.height === size) return padded;
  const data = new Uint8Array(size * size * 3);
  for (let y = 0; y < size; y++) {
    const start = ((top + y) * padded.width + left) * 3;
    data.set(padded.data.subarray(start, start + size * 3), y * size * 3);
  }
  return { width: size, height: size, data };
}

function padTo(image: Pixels, size: number): Pixels {
  const { width, height, data } = image;
  if (width >= size && height >= size) return image;
  const padded = { width: Math.max(width, size), height: Math.max(height, size) };
  const left = Math.floor((padded.width - width) / 2);
  const top = Math.floor((padded.height - height) / 2);
  const out = new Uint8Array(padded.width * padded.height * 3);
  for (let y = 0; y < height; y++) {
    const row = data.subarray(y * width * 3, (y + 1) * width * 3);
    out.set(row, ((top + y) * padded.width + left) * 3);
  }
  return { ...padded, data: out };
}

/** Python's round(): halves go to the even neighbour. */
function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
