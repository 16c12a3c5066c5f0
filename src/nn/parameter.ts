/** A tensor that a module owns between calls: a weight that is trained, or a running statistic. */
import type { Shape } from '../graph/graph.js';
import type { Initialiser } from './init.js';

export interface ParameterOptions {
  readonly shape: Shape;
  readonly init: Initialiser;
  /** A buffer lives in the state dict and is not trained. Default false. */
  readonly buffer?: boolean;
}

export class Parameter {
  /** Inside, convolution weights are (K, R, S, C). */
  readonly shape: Shape;
  readonly init: Initialiser;
  readonly buffer: boolean;

  constructor({ shape, init, buffer = false }: ParameterOptions) {
    this.shape = shape;
    this.init = init;
    this.buffer = buffer;
  }
}
