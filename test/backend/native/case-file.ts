/**
 * Writes recorded runs of the engine for native/test/replay.cpp, which runs them without Node.
 *
 * A file is a sequence of little-endian words of 32 bits; i: signed, u: unsigned, f: float.
 *
 *   file     u 0x58534c50 ("PLSX"), u version = 2, u cases, then each case
 *   case     text title, u arena bytes, u chunks, chunks, u steps, steps, u results, results
 *   chunk    u offset, u bytes, the bytes: what the arena holds before the run
 *   step     u words, i words (a program of one step, see src/backend/program.ts),
 *            u regions, (u offset, u bytes) each: all that the step may touch
 *   result   text name, u offset, u bytes of a number, f tolerance, u values, f values: what the run
 *            must leave there, as float32 (4 bytes) or bfloat16 (2)
 *   text     u bytes, UTF-8
 *
 * Bytes and texts are filled up with zeros to a whole word. Offsets count bytes from the arena's
 * start; what no chunk describes has any value. native/test/case-file.h says the same in C++.
 */
import type { TensorData } from '../../../src/backend/backend.js';

export interface RecordedCase {
  readonly title: string;
  readonly arenaBytes: number;
  readonly chunks: readonly { readonly offset: number; readonly data: TensorData }[];
  readonly steps: readonly RecordedStep[];
  readonly results: readonly RecordedResult[];
}

export interface RecordedStep {
  readonly program: Int32Array;
  readonly regions: readonly Region[];
}

/** Bytes of the arena. */
export interface Region {
  readonly offset: number;
  readonly bytes: number;
}

export interface RecordedResult {
  readonly name: string;
  readonly offset: number;
  readonly bytesPerNumber: number;
  readonly tolerance: number;
  readonly values: Float32Array;
}

const magic = 0x58534c50;
const version = 2;

export function encodeCases(cases: readonly RecordedCase[]): Buffer {
  return Buffer.concat([words(magic, version), list(cases, encodeCase)]);
}

function encodeCase({ title, arenaBytes, chunks, steps, results }: RecordedCase): Buffer {
  return Buffer.concat([
    text(title),
    words(arenaBytes),
    list(chunks, ({ offset, data }) => Buffer.concat([words(offset), bytes(bytesOf(data))])),
    list(steps, encodeStep),
    list(results, encodeResult),
  ]);
}

function encodeStep({ program, regions }: RecordedStep): Buffer {
  return Buffer.concat([
    words(program.length),
    bytesOf(program),
    list(regions, (region) => words(region.offset, region.bytes)),
  ]);
}

function encodeResult(result: RecordedResult): Buffer {
  const { name, offset, bytesPerNumber, tolerance, values } = result;
  return Buffer.concat([
    text(name),
    words(offset, bytesPerNumber),
    bytesOf(Float32Array.of(tolerance)),
    words(values.length),
    bytesOf(values),
  ]);
}

function list<T>(items: readonly T[], encode: (item: T) => Buffer): Buffer {
  return Buffer.concat([words(items.length), ...items.map(encode)]);
}

function words(...values: number[]): Buffer {
  return bytesOf(Uint32Array.from(values));
}

function text(value: string): Buffer {
  return bytes(Buffer.from(value));
}

function bytes(content: Buffer): Buffer {
  const padding = Buffer.alloc((4 - (content.length % 4)) % 4);
  return Buffer.concat([words(content.length), content, padding]);
}

/** In the order of this machine, which is little-endian wherever Node runs the engine. */
function bytesOf(data: TensorData | Uint32Array): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
