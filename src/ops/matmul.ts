/** y = a·b for matrices, either of them read transposed. Backward saves both. */
import type { TensorType } from '../graph/builder.js';
import { at, expectRank, f32, onlyGradient, shapeError, shapeText, type OpRule } from './op.js';

export type MatmulAttributes = { readonly transposeA: boolean; readonly transposeB: boolean };

function sizes(type: TensorType, transposed: boolean): [rows: number, columns: number] {
  const [rows, columns] = type.shape as [number, number];
  return transposed ? [columns, rows] : [rows, columns];
}

export const matmul: OpRule<MatmulAttributes> = {
  infer([a, b], { transposeA, transposeB }) {
    expectRank('matmul', 'a', a!, 2);
    expectRank('matmul', 'b', b!, 2);
    const [M, inner] = sizes(a!, transposeA);
    const [expected, N] = sizes(b!, transposeB);
    if (inner !== expected) {
      throw shapeError(
        'linear',
        `input has ${inner} features, weight expects ${expected} ` +
          `(input ${shapeText(a!.shape)}, weight ${shapeText(b!.shape)})`,
      );
    }
    return [f32(M, N)];
  },
  vjp(context) {
    const { transposeA, transposeB } = context.attributes;
    const a = at(context.inputs, 0);
    const b = at(context.inputs, 1);
    const dy = onlyGradient(context);
    const product = (left: typeof a, right: typeof a, leftT: boolean, rightT: boolean) =>
      at(context.emit('matmul', [left, right], { transposeA: leftT, transposeB: rightT }), 0);
    const da = () =>
      transposeA ? product(b, dy, transposeB, true) : product(dy, b, false, !transposeB);
    const db = () =>
      transposeB ? product(dy, a, true, transposeA) : product(a, dy, !transposeA, false);
    return [context.wants(0) ? da() : null, context.wants(1) ? db() : null];
  },
  flops: ([a], [y], { transposeA }) =>
    2 * at(y!.shape, 0) * at(y!.shape, 1) * sizes(a!, transposeA)[1],
};
