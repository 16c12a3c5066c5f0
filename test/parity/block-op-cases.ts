/** The op cases of scripts/fixtures/blocks.py as graphs: one forward op and its gradients each. */
import { elementCount } from '../../src/graph/graph.js';
import type { OpAttributes, OpName } from '../../src/ops/table.js';
import { dropoutWords } from '../../src/random/philox.js';
import { OpCase } from './op-cases.js';

export interface BlockCase {
  readonly make: () => OpCase;
  /** Numbers summed for one value, at most. */
  readonly reduction: number;
}

/** One op on its tensors, drawn from the streams 0, 1, …, with the gradients of all of them. */
function onTensors<Op extends OpName>(
  op: Op,
  tensors: Readonly<Record<string, readonly number[]>>,
  attributes: OpAttributes[Op],
  scale = 1,
): () => OpCase {
  return () => {
    const made = new OpCase();
    const names = Object.keys(tensors);
    const inputs = names.map((name, i) => made.tensor(name, i, [...tensors[name]!], scale));
    made.builder.output('y', made.emit(op, inputs, attributes)[0]!);
    made.gradients(
      names.length,
      names.map((name) => `d${name}`),
    );
    return made;
  };
}

function dropoutCase([count, p, seed, step, layer]: number[]): OpCase {
  const made = new OpCase();
  const x = made.tensor('x', 0, [count!]);
  made.data.set('randomness', dropoutWords(seed!, step!));
  const randomness = made.builder.input('randomness', { shape: [4], dtype: 'i32' });
  const [y] = made.emit('dropout', [x, randomness], { p: p!, layer: layer! });
  made.builder.output('y', y!);
  made.gradients(1, ['dx', null]);
  return made;
}

type Image = [N: number, H: number, W: number, C: number];

/** By the name that the script gives; undefined where it is no case of its. */
export function blockCase(op: string, sizes: readonly unknown[]): BlockCase | undefined {
  const numbers = sizes as number[];
  const x = numbers.slice(0, 4) as Image;
  const [N, H, W, C] = x;
  const [a, b, c, d, e] = numbers.slice(4) as [number, number, number, number, number];
  switch (op) {
    case 'groupedConv': {
      const weight = [a, b, b, C / e];
      const attributes = { stride: c, padding: d, groups: e };
      const reduction = Math.max((b * b * Math.max(C, a)) / e, N * H * W);
      return { make: onTensors('conv2d', { x, weight }, attributes), reduction };
    }
    case 'sigmoid':
      return { make: onTensors('sigmoid', { x: numbers }, {}, 8), reduction: 2 };
    case 'scaleChannels':
      return {
        make: onTensors('scaleChannels', { x, s: [N, 1, 1, C] }, {}),
        reduction: H * W,
      };
    case 'identityShortcut':
      return {
        make: onTensors('identityShortcut', { x }, { outChannels: a, stride: b }),
        reduction: 1,
      };
    case 'adaptivePool':
      return {
        make: onTensors('adaptiveAvgPool2d', { x }, { outputHeight: a, outputWidth: b }),
        reduction: elementCount([H, W]) + elementCount([a, b]),
      };
    case 'partialPool': {
      const window = { kernelHeight: a, kernelWidth: a, stride: b, padding: c };
      const countIncludePad = Boolean(d);
      return {
        make: onTensors('avgPool2d', { x }, { ...window, ceilMode: true, countIncludePad }),
        reduction: a * a,
      };
    }
    case 'dropout':
      return { make: () => dropoutCase(numbers), reduction: 1 };
    default:
      return undefined;
  }
}
