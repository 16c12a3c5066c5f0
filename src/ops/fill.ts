/** A tensor of one value: the seed of the backward walk. */
import { type OpRule } from './op.js';

export type FillAttributes = { readonly shape: readonly number[]; readonly value: number };

export const fill: OpRule<FillAttributes> = {
  infer: (_inputs, { shape }) => [{ shape, dtype: 'f32' }],
  vjp: () => [],
};
