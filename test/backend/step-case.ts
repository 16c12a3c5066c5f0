/** A small graph with drawn data, of one op or of a few: what every backend must compute alike. */
import type { Capabilities, TensorData } from '../../src/backend/backend.js';
import { allocateLike } from '../../src/backend/transfer.js';
import { GraphBuilder } from '../../src/graph/builder.js';
import { elementCount, type DType, type Graph, type Value } from '../../src/graph/graph.js';
import { emitInto } from '../../src/ops/emit.js';
import type { OpAttributes, OpName } from '../../src/ops/table.js';
import type { Precision } from '../../src/plan/precision.js';
import { Random } from '../../src/random/philox.js';

export interface StepCase {
  readonly title: string;
  readonly graph: Graph;
  /** Of every input and state entry, by name. */
  readonly data: ReadonlyMap<string, TensorData>;
  /** Numbers summed for one value, at most: rounding errors grow with it. */
  readonly reduction: number;
  /** What the plan is compiled for, where it is not what the backend says. */
  readonly capabilities?: Partial<Capabilities>;
  /** Default `fp32`. */
  readonly precision?: Precision;
}

/** A tensor to be drawn: shape and values. */
export interface Drawn {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly draw: (random: Random) => number;
}

export const signed = (...shape: number[]): Drawn => ({
  shape,
  dtype: 'f32',
  draw: (random) => random.uniform(-1, 1),
});
/** For variances, their inverse roots and second moments. */
export const positive = (...shape: number[]): Drawn => ({
  shape,
  dtype: 'f32',
  draw: (random) => random.uniform(0.5, 1.5),
});
/** Few different values: windows with several largest ones. */
export const coarse = (...shape: number[]): Drawn => ({
  shape,
  dtype: 'f32',
  draw: (random) => random.below(3) - 1,
});
export const bytes = (...shape: number[]): Drawn => ({
  shape,
  dtype: 'u8',
  draw: (random) => random.below(256),
});
export const labels = (N: number, classes: number): Drawn => ({
  shape: [N],
  dtype: 'i32',
  draw: (random) => random.below(classes),
});

interface Description<Op extends OpName> {
  readonly op: Op;
  readonly sizes: string;
  readonly inputs: readonly Drawn[];
  readonly attributes: OpAttributes[Op];
  readonly reduction?: number;
  /** Output index → index of the input, a state entry, that it replaces. */
  readonly replaces?: Readonly<Record<number, number>>;
}

export function describe<Op extends OpName>(description: Description<Op>): StepCase {
  const { op, sizes, inputs, attributes, reduction = 1, replaces = {} } = description;
  const builder = new GraphBuilder();
  const random = new Random(0, 'bench', inputs.length);
  const data = new Map<string, TensorData>();
  const values = inputs.map(({ shape, dtype, draw }, i): Value => {
    const name = `tensor${i}`;
    const drawn = allocateLike(dtype, elementCount(shape));
    data.set(
      name,
      drawn.map(() => draw(random)),
    );
    const type = { shape, dtype };
    const isState = Object.values(replaces).includes(i);
    return isState ? builder.state(name, type) : builder.input(name, type);
  });
  const outputs = emitInto(builder, () => 'case')(op, values, attributes);
  outputs.forEach((value, i) => {
    const state = replaces[i];
    if (state === undefined) builder.output(`output${i}`, value);
    else builder.update(`tensor${state}`, value);
  });
  return { title: `${op} ${sizes}`, graph: builder.build(), data, reduction };
}
