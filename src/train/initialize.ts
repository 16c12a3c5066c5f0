/** Draws a model's initial weights; each parameter from a stream of its own. */
import { elementCount } from '../graph/graph.js';
import type { Initialiser } from '../nn/init.js';
import type { Module } from '../nn/module.js';
import { Random } from '../random/philox.js';

/** Every parameter's and buffer's initial values by state-dict key, in inside layout. */
export function* initialValues(model: Module, seed: number): Generator<[string, Float32Array]> {
  let index = 0;
  for (const [key, { shape, init }] of model.namedParameters()) {
    yield [key, draw(init, elementCount(shape), new Random(seed, 'init', index++))];
  }
}

function draw(init: Initialiser, count: number, random: Random): Float32Array {
  const values = new Float32Array(count);
  switch (init.kind) {
    case 'constant':
      return values.fill(init.value);
    case 'uniform':
      for (let i = 0; i < count; i++) values[i] = random.uniform(-init.bound, init.bound);
      return values;
    case 'normal':
      for (let i = 0; i < count; i++) values[i] = random.normal(0, init.std);
      return values;
  }
}
