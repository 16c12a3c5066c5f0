/** Whether WebAssembly has relaxed SIMD here: a product and a sum in one instruction. */
import v8 from 'node:v8';

/** i8x16.relaxed_swizzle in a function: valid where the engine has relaxed SIMD. */
const probe = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0],
  ...[65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11],
);

/**
 * V8 has it from 11.4 on. That of Node 20, 11.3, has the same behind a flag, which this sets: for the
 * process, as V8 knows no smaller place.
 */
export function hasRelaxedSimd(): boolean {
  if (WebAssembly.validate(probe)) return true;
  if (!process.versions.v8.startsWith('11.3.')) return false;
  v8.setFlagsFromString('--experimental-wasm-relaxed-simd');
  return WebAssembly.validate(probe);
}
