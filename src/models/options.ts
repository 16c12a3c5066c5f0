/** What may be chosen of a network beside its classes; the registry says which network has what. */
import { z } from 'zod';
import { cifarShortcuts, type CifarShortcut } from './cifar-resnet.js';
import { stems, variants, type Stem, type Variant } from './resnet.js';

/** Options left out are the network's own; one that it does not have is refused. */
export interface NetworkOptions {
  /** First layers of a residual or plain network for photographs. Default `conv7x7`. */
  readonly stem?: Stem | null | undefined;
  /** `d`: ResNet-D's stem and downsampling, for residual networks for photographs. */
  readonly variant?: Variant | null | undefined;
  /** How CIFAR's residual networks widen: `A` with zeros, `B` by a 1×1 convolution. Default `A`. */
  readonly shortcut?: CifarShortcut | null | undefined;
  /** Starts each residual block as the identity. Default false. */
  readonly zeroInitResidual?: boolean | null | undefined;
  /** Weighs each residual block's channels, for networks for photographs. Default false. */
  readonly squeezeExcitation?: boolean | null | undefined;
  /** Share that the classifiers of AlexNet and VGG drop, from 0 to below 1. Default 0.5. */
  readonly dropout?: number | null | undefined;
}

export type NetworkOption = keyof NetworkOptions;

/** As configurations and checkpoints hold them: null, or not there in older ones, is left out. */
export const networkOptionSchemas = {
  stem: z.enum(stems).nullable().default(null),
  variant: z.enum(variants).nullable().default(null),
  shortcut: z.enum(cifarShortcuts).nullable().default(null),
  zeroInitResidual: z.boolean().nullable().default(null),
  squeezeExcitation: z.boolean().nullable().default(null),
  dropout: z.number().nullable().default(null),
} satisfies Record<NetworkOption, z.ZodType>;

export const networkOptionNames = Object.keys(networkOptionSchemas) as NetworkOption[];

/** The network's options among others, those that are left out left out. */
export function networkOptionsOf(options: NetworkOptions): NetworkOptions {
  const given = networkOptionNames.map((name) => [name, options[name]] as const);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined && value !== null));
}

/** For people, the model and what was chosen of it: `resnet20 (shortcut B)`. */
export function networkText(network: NetworkOptions & { readonly model: string }): string {
  const { model, stem, variant, shortcut, zeroInitResidual, squeezeExcitation, dropout } = network;
  const chosen = [
    stem && `${stem} stem`,
    variant && `variant ${variant}`,
    shortcut && `shortcut ${shortcut}`,
    zeroInitResidual && 'zero-init residual',
    squeezeExcitation && 'squeeze-excitation',
    typeof dropout === 'number' && `dropout ${dropout}`,
  ].filter(Boolean);
  return chosen.length > 0 ? `${model} (${chosen.join(', ')})` : model;
}
