/** A symbolic tensor: what `forward` computes with. It has a shape and no numbers. */
import type { Shape, Value } from '../graph/graph.js';
import type { Trace } from './trace.js';

export class Tensor {
  constructor(
    readonly value: Value,
    /** The trace that this tensor belongs to. */
    readonly trace: Trace,
  ) {}

  /** (N, H, W, C) for images, (N, C) for features. */
  get shape(): Shape {
    return this.value.shape;
  }

  /** Element-wise sum: the skip connection. Throws where the shapes differ. */
  add(other: Tensor): Tensor {
    return this.trace.emitOne('add', [this, other], {});
  }
}
