/** y = (x/255 - mean)/std from bytes: torchvision's ToTensor and Normalize, on the device. */
import { imageSizes, like, shapeError, type OpRule } from './op.js';

export type NormalizeImageAttributes = {
  readonly mean: readonly number[]; // (C)
  readonly std: readonly number[]; // (C)
};

export const normalizeImage: OpRule<NormalizeImageAttributes> = {
  infer([x], { mean, std }) {
    const { C } = imageSizes('normalizeImage', 'input', x!);
    if (mean.length !== C || std.length !== C) {
      throw shapeError(
        'normalizeImage',
        `images have ${C} channels, mean has ${mean.length} and std ${std.length}`,
      );
    }
    return [like(x!)];
  },
  vjp: () => [null],
};
