/** y = a + b, the skip connection: H(x) = F(x) + x (He et al. 2015, arXiv 1512.03385, eq. 1). */
import { sameShape } from '../graph/graph.js';
import { like, onlyGradient, shapeError, shapeText, type OpRule } from './op.js';

export const add: OpRule<Record<never, never>> = {
  infer([a, b]) {
    if (!sameShape(a!.shape, b!.shape)) {
      throw shapeError(
        'add',
        `${shapeText(a!.shape)} and ${shapeText(b!.shape)} differ; ` +
          'a skip connection that changes shape needs a projection',
      );
    }
    return [like(a!)];
  },
  vjp(context) {
    const dy = onlyGradient(context);
    return [dy, dy];
  },
  mayOverwrite: [0, 1],
};
