/** What is asked of every bad file: one PlusxError that names it and what is wrong, in few words. */
import assert from 'node:assert/strict';
import { PlusxError } from '../../src/errors.js';
import { memorySource } from '../../src/formats/byte-source.js';
import { readWeightsFrom } from '../../src/formats/weights.js';
import { dict, tensor, text } from './pickle-writer.js';

export const read = (bytes: Uint8Array) => readWeightsFrom(memorySource(bytes, 'model.pth'));

export async function refused(bytes: Uint8Array, code: string, message: RegExp): Promise<void> {
  await assert.rejects(read(bytes), (error) => {
    assert(error instanceof PlusxError, String((error as Error).stack));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, /^model\.pth/);
    assert.match(error.message, message);
    assert(error.message.length < 600, `${error.message.length} letters`);
    return true;
  });
}

/** The pickle of a state dict with one tensor. */
export const state = (value = tensor()) => dict([[text('weight'), value]]);
/** The storage of that tensor. */
export const numbers = new Uint8Array(Float32Array.of(1.5, -2).buffer);
