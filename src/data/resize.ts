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

/** Output pixels `first` … `first + count - 1` of a side. */
interface Span {
  readonly first: number;
  readonly count: number;
}

/** Weights of the input pixels `first[i]` … `end[i] - 1` for the i-th output pixel of a span. */
interface Filter {
  readonly outputs: number;
  readonly taps: number;
  readonly first: Int32Array;
  readonly end: Int32Array;
  readonly weights: Int32Array; // (outputs, taps)
}

function triangleFilter(inSize: number, outSize: number, span: Span): Filter {
  const scale = inSize / outSize;
  const support = Math.max(scale, 1);
  const taps = Math.ceil(support) * 2 + 1;
  const outputs = span.count;
  const first = new Int32Array(outputs);
  const end = new Int32Array(outputs);
  const weights = new Int32Array(outputs * taps);
  const exact = new Float64Array(taps);
  for (let i = 0; i < outputs; i++) {
    const centre = (span.first + i + 0.5) * scale;
    const from = Math.max(0, Math.trunc(centre - support + 0.5));
    const to = Math.min(inSize, Math.trunc(centre + support + 0.5));
    let sum = 0;
    for (let t = 0; t < to - from; t++) {
      const distance = Math.abs((t + from - centre + 0.5) * (1 / support));
      exact[t] = distance < 1 ? 1 - distance : 0;
      sum += exact[t]!;
    }
    first[i] = from;
    end[i] = to;
    for (let t = 0; t < to - from; t++) {
      const weight = exact[t]! / sum;
      weights[i * taps + t] = Math.trunc(weight * 2 ** fractionBits + 0.5);
    }
  }
  return { outputs, taps, first, end, weights };
}

/** Resizes to exactly width × height. */
export function resizeBilinear(image: Pixels, width: number, height: number): Pixels {
  const columns = { first: 0, count: width };
  return resizeWindow(image, { width, height, columns, rows: { first: 0, count: height } });
}

interface Window {
  /** Size of the whole resized image. */
  readonly width: number;
  readonly height: number;
  /** The part of it that is wanted. */
  readonly columns: Span;
  readonly rows: Span;
}

/**
 * Part of the resized image, from only those input rows that reach it. Rows are filtered first,
 * except where columns shrink while rows grow: then, as in Pillow 13, the other order is cheaper.
 */
function resizeWindow(image: Pixels, { width, height, columns, rows }: Window): Pixels {
  const across = triangleFilter(image.width, width, columns);
  const down = triangleFilter(image.height, height, rows);
  if (height < image.height && width > image.width) {
    return filterRows(filterColumns(image, down, 0), across);
  }
  const top = down.first[0]!;
  const bottom = down.end[down.outputs - 1]!;
  const row = image.width * 3;
  const data = image.data.subarray(top * row, bottom * row);
  const reached = { width: image.width, height: bottom - top, data };
  return filterColumns(filterRows(reached, across), down, top);
}

const half = 1 << (fractionBits - 1);

function filterRows({ width: inWidth, height, data }: Pixels, filter: Filter): Pixels {
  const { outputs: width, taps, first, end, weights } = filter;
  const out = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let r = half;
      let g = half;
      let b = half;
      let from = (y * inWidth + first[x]!) * 3;
      const last = x * taps + end[x]! - first[x]!;
      for (let t = x * taps; t < last; t++, from += 3) {
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

/** `top` is the row of the whole image with which `data` begins. */
function filterColumns({ width, data }: Pixels, filter: Filter, top: number): Pixels {
  const { outputs: height, taps, first, end, weights } = filter;
  const row = width * 3;
  const out = new Uint8Array(row * height);
  const sums = new Int32Array(row);
  for (let y = 0; y < height; y++) {
    sums.fill(half);
    for (let t = 0; t < end[y]! - first[y]!; t++) {
      const weight = weights[y * taps + t]!;
      const from = (first[y]! - top + t) * row;
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
  const { width, height } = shorterSideTo(image, size);
  return resizeBilinear(image, width, height);
}

/**
 * `centerCrop(resizeShorterSide(image, size), crop)`, but only what remains is computed: a strip of
 * 1 × 10,000 pixels needs no more memory than any other image.
 */
export function resizeAndCrop(image: Pixels, size: number, crop: number): Pixels {
  const { width, height } = shorterSideTo(image, size);
  const columns = cropSpan(width, crop);
  const rows = cropSpan(height, crop);
  return centerCrop(resizeWindow(image, { width, height, columns, rows }), crop);
}

function shorterSideTo({ width, height }: Pixels, size: number) {
  const longer = Math.trunc((size * Math.max(width, height)) / Math.min(width, height));
  return width <= height ? { width: size, height: longer } : { width: longer, height: size };
}

/** What a centre crop leaves of a side, before borders are added. */
function cropSpan(size: number, crop: number): Span {
  if (size <= crop) return { first: 0, count: size };
  return { first: roundHalfToEven((size - crop) / 2), count: crop };
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
