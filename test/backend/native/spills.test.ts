import assert from 'node:assert/strict';
import test from 'node:test';
import { hottestLoop } from './spills.js';

const assembly = (...body: string[]) =>
  ['_ZN5plusx4avx212multiplyTileEPKfS2_iPf:', ...body, '.Lend:', '\tret'].join('\n');

const multiply = '\tvfmadd231ps\t%ymm0, %ymm1, %ymm2';
const loop = (...body: string[]) => ['.L3:', ...body, '\tcmpq\t%rax, %rdx', '\tjne\t.L3'];
const store = '\tvmovaps\t%ymm2, 32(%rsp)';
const framed = '\tvmovaps\t%ymm2, -64(%rbp)';

const find = (...body: string[]) => hottestLoop(assembly(...body), ['multiplyTile']);

test('a vector that goes to the stack within the loop is a spill', () => {
  const { symbol, multiplyAdds, spills } = find(...loop(multiply, store, multiply))!;
  assert.equal(symbol, '_ZN5plusx4avx212multiplyTileEPKfS2_iPf');
  assert.equal(multiplyAdds, 2);
  assert.deepEqual(spills, [store.trim()]);
});

test('so is an operand that is read from there', () => {
  const folded = '\tvfmadd231ps\t64(%rsp), %ymm1, %ymm2';
  assert.deepEqual(find(...loop(multiply, folded))!.spills, [folded.trim()]);
});

test('before and behind the loop vectors may go there, and other registers within it', () => {
  const pointer = '\tmovq\t8(%rsp), %rax';
  assert.deepEqual(find(store, ...loop(multiply, pointer), store)!.spills, []);
});

test('rbp counts where it is the frame pointer', () => {
  assert.deepEqual(find(...loop(multiply, framed))!.spills, []);
  const frame = '\tmovq\t%rsp, %rbp';
  assert.deepEqual(find(frame, ...loop(multiply, framed))!.spills, [framed.trim()]);
});

test('the innermost loop with the most multiply-adds counts', () => {
  const inner = loop(multiply, multiply);
  const nested = ['.L2:', store, ...inner, '\tjmp\t.L2'];
  const small = ['.L5:', multiply, store, '\tjb\t.L5'];
  assert.deepEqual(find(...nested, ...small)!.spills, []);
});

test('arm64 is read too', () => {
  const body = ['\tfmla\tv0.4s, v1.4s, v2.s[0]', '\tstr\tq0, [sp, 32]'];
  const lines = ['.L3:', ...body, '\tcmp\tx0, x1', '\tbne\t.L3'];
  const { multiplyAdds, spills } = find(...lines)!;
  assert.equal(multiplyAdds, 1);
  assert.deepEqual(spills, [body[1]!.trim()]);
});

test('where a function is inlined, its caller is looked at; where neither is, nothing is found', () => {
  const text = assembly(...loop(multiply));
  assert.equal(hottestLoop(text, ['accumulate', 'multiplyTile'])!.multiplyAdds, 1);
  assert.equal(hottestLoop(text, ['accumulate', 'runGather']), undefined);
  assert.equal(find(multiply), undefined);
});
