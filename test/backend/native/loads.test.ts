import assert from 'node:assert/strict';
import test from 'node:test';
import { maskedLoads, prefetches } from './loads.js';

const assembly = (...body: string[]) =>
  ['_ZN5plusx6avx51212reluBackwardIfEEv:', ...body.map((line) => `\t${line}`)].join('\n');

test('a load under a mask is found, also as an operand', () => {
  const lines = [
    'vmovups\t(%rsi,%rax), %zmm1{%k1}{z}',
    'vaddps\t64(%r8,%rax), %zmm0, %zmm2{%k1}{z}',
    'vmaskmovps\t(%rsi), %ymm1, %ymm2',
  ];
  assert.deepEqual(maskedLoads(assembly(...lines), 'reluBackward'), lines);
});

test('a plain load is none, nor a mask over registers, nor a store', () => {
  const lines = [
    'vmovups\t(%rsi,%rax), %zmm1',
    'vmovaps\t%zmm0, %zmm1{%k1}{z}',
    'vmovups\t%zmm1, (%rdx,%rax){%k1}',
  ];
  assert.deepEqual(maskedLoads(assembly(...lines), 'reluBackward'), []);
});

test('a function that is not there is not one without masked loads', () => {
  assert.equal(maskedLoads(assembly('ret'), 'reluForward'), undefined);
});

test('prefetches are counted within one instance', () => {
  const text = assembly('prefetcht1\t(%r9)', 'ret', 'prefetcht1\t(%rax)');
  assert.equal(prefetches(text, 'reluBackward'), 2);
  assert.equal(prefetches(`${text}\n${text}`, 'reluBackward'), 2);
  assert.equal(prefetches(text, 'reluForward'), 0);
});
