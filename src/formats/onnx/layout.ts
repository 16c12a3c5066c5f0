/** Reshaping and option A's shortcut in ONNX. */
import { PlusxError } from '../../errors.js';
import type { OpAttributes } from '../../ops/table.js';
import type { Call } from './call.js';
import type { GraphWriter } from './graph-writer.js';

export function reshape(
  { x, y, attributes, path }: Call<OpAttributes['reshape']>,
  writer: GraphWriter,
) {
  if (!writer.keepsBatch(x, y)) {
    throw new PlusxError(
      'onnx-batch',
      `${path || 'the model'}: reshape from [${x.shape.join(',')}] to [${y.shape.join(',')}] mixes ` +
        'the images of a batch, whose number is open in ONNX; keep axis 0 as it is',
      { path, from: x.shape, to: y.shape },
    );
  }
  const [, H = 1, W = 1] = x.shape;
  // One pixel has its channels in the same place in both orders.
  const input = H * W === 1 ? writer.name(x) : writer.inOrder(x, 'own', path);
  if (y.shape.length === 2) {
    writer.emit('Flatten', [input], path, { attributes: { axis: 1 }, value: y });
  } else {
    const sameBatch = 0; // the size of the input's axis
    const shape = writer.list(`${path}/shape`, [sameBatch, ...attributes.shape.slice(1)]);
    writer.emit('Reshape', [input, shape], path, { value: y, order: 'own' });
  }
}

/** Every stride-th pixel, between channels of zeros. */
export function identityShortcut(
  { x, y, attributes, path }: Call<OpAttributes['identityShortcut']>,
  writer: GraphWriter,
) {
  const [, H, W, C] = x.shape as [number, number, number, number];
  const { stride, outChannels } = attributes;
  let input = writer.inOrder(x, 'nchw', path);
  const list = (name: string, numbers: readonly number[]) => {
    return writer.list(`${path}/${name}`, numbers);
  };
  if (stride > 1) {
    const slice = [list('starts', [0, 0]), list('ends', [H, W]), list('axes', [2, 3])];
    input = writer.emit('Slice', [input, ...slice, list('steps', [stride, stride])], path);
  }
  const before = Math.floor((outChannels - C) / 2);
  const after = outChannels - C - before;
  // How many zeros come before each axis, then behind each.
  const pads = list('pads', [0, before, 0, 0, 0, after, 0, 0]);
  writer.emit('Pad', [input, pads], path, { value: y });
}
