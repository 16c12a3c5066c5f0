/** How parameters start: as PyTorch's layers do by default, or by He's rule. */

export type Initialiser =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'uniform'; readonly bound: number }
  | { readonly kind: 'normal'; readonly std: number };

export const zeros: Initialiser = { kind: 'constant', value: 0 };
export const ones: Initialiser = { kind: 'constant', value: 1 };

/**
 * PyTorch's default for convolution and linear weights: Kaiming uniform with a = √5, which is
 * U(-b, b) with b = 1/√fanIn. Its biases use the same bound.
 */
export function pytorchDefault(fanIn: number): Initialiser {
  return { kind: 'uniform', bound: 1 / Math.sqrt(fanIn) };
}

/**
 * He normal for layers followed by ReLU: N(0, 2/fan). torchvision's ResNets take fanOut = K·R·S.
 * Source: He et al. 2015, arXiv 1502.01852, section 2.2.
 */
export function heNormal(fan: number): Initialiser {
  return { kind: 'normal', std: Math.sqrt(2 / fan) };
}
