/**
 * Inverted dropout (Srivastava et al. 2014): y = x·m, m = 0 with probability p, else 1/(1 - p).
 *
 * The mask is a function, not a stored tensor: element i of a layer is dropped where word i mod 4 of
 * Philox at counter (floor(i/4), layer, step) is below p·2³². So backward is the same op on dy, a
 * mask costs no memory, and neither threads nor a resumed run can change it.
 *
 * Inputs: x, randomness (4) i32: two words of the key and two of the step, as `dropoutWords` in
 * random/philox.ts makes them.
 */
import { at, like, onlyGradient, shapeText, type OpRule } from './op.js';

export type DropoutAttributes = {
  /** 0 ≤ p < 1. */
  readonly p: number;
  /** Which of the model's dropouts, counted from 0: each has a mask of its own. */
  readonly layer: number;
};

export const dropout: OpRule<DropoutAttributes> = {
  infer([x, randomness]) {
    if (randomness!.dtype !== 'i32' || randomness!.shape.join() !== '4') {
      const { dtype, shape } = randomness!;
      throw new Error(`internal: dropout: randomness is ${dtype}${shapeText(shape)}, not i32[4]`);
    }
    return [like(x!)];
  },
  vjp(context) {
    const inputs = [onlyGradient(context), at(context.inputs, 1)];
    return [at(context.emit('dropout', inputs, context.attributes), 0), null];
  },
  mayOverwrite: [0],
};
