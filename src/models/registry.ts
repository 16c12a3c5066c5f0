/** Models by name, for the command line and for checkpoints; names are torchvision's. */
import { closest } from 'fastest-levenshtein';
import { PlusxError } from '../errors.js';
import { alexnet } from './alexnet.js';
import type { Backbone } from './backbone.js';
import * as cifar from './cifar-resnet.js';
import { networkOptionNames, networkOptionsOf, type NetworkOption } from './options.js';
import type { NetworkOptions } from './options.js';
import * as plain from './plain.js';
import * as resnet from './resnet.js';
import * as vgg from './vgg.js';

/** A kind of networks: what can be chosen of them, and for which images they were made. */
interface Family {
  readonly options: readonly NetworkOption[];
  readonly classes: number;
  /** Side of the images in pixels. */
  readonly imageSize: number;
}

const imagenet = { classes: 1000, imageSize: 224 };
const small = { classes: 10, imageSize: 32 };
const residual: Family = {
  options: ['stem', 'variant', 'zeroInitResidual', 'squeezeExcitation'],
  ...imagenet,
};
const cifarResidual: Family = { options: ['shortcut', 'zeroInitResidual'], ...small };
const photoPlain: Family = { options: ['stem'], ...imagenet };
const cifarPlain: Family = { options: [], ...small };
const sequential: Family = { options: ['dropout'], ...imagenet };

/** What a function of `models` is given: options of the right kind, as the family says. */
type Create = (options: never) => Backbone;

const registry: Readonly<Record<string, readonly [Create, Family]>> = {
  resnet18: [resnet.resnet18, residual],
  resnet34: [resnet.resnet34, residual],
  resnet50: [resnet.resnet50, residual],
  resnet101: [resnet.resnet101, residual],
  resnet152: [resnet.resnet152, residual],
  wide_resnet50_2: [resnet.wideResnet50, residual],
  resnext50_32x4d: [resnet.resnext50, residual],
  resnet20: [cifar.resnet20, cifarResidual],
  resnet32: [cifar.resnet32, cifarResidual],
  resnet44: [cifar.resnet44, cifarResidual],
  resnet56: [cifar.resnet56, cifarResidual],
  resnet110: [cifar.resnet110, cifarResidual],
  plain18: [plain.plain18, photoPlain],
  plain34: [plain.plain34, photoPlain],
  plain20: [plain.plain20, cifarPlain],
  plain32: [plain.plain32, cifarPlain],
  plain44: [plain.plain44, cifarPlain],
  plain56: [plain.plain56, cifarPlain],
  alexnet: [alexnet, sequential],
  vgg11: [vgg.vgg11, sequential],
  vgg11_bn: [vgg.vgg11bn, sequential],
  vgg13: [vgg.vgg13, sequential],
  vgg13_bn: [vgg.vgg13bn, sequential],
  vgg16: [vgg.vgg16, sequential],
  vgg16_bn: [vgg.vgg16bn, sequential],
  vgg19: [vgg.vgg19, sequential],
  vgg19_bn: [vgg.vgg19bn, sequential],
};

export const modelNames: readonly string[] = Object.keys(registry);

export interface ModelOptions extends NetworkOptions {
  /** At least 1. Default: the model's own, 1000, or 10 of the networks for CIFAR. */
  readonly classes?: number;
}

/**
 * A new model, its weights not yet drawn. Throws `unknown-model`, `unknown-…` for an option's value
 * that is none, and `option` for an option that the model does not have.
 */
export function createModel(name: string, { classes, ...options }: ModelOptions = {}): Backbone {
  expectNetworkOptions(name, options);
  const [create] = entry(name);
  const given = { ...networkOptionsOf(options), ...(classes === undefined ? {} : { classes }) };
  return create(given as never);
}

/** What a model was made for: how many classes, and the side of its images in pixels. */
export function modelDefaults(name: string): { classes: number; imageSize: number } {
  const [, { classes, imageSize }] = entry(name);
  return { classes, imageSize };
}

/** The options that a model has. */
export function optionsOfModel(name: string): readonly NetworkOption[] {
  return entry(name)[1].options;
}

/** Throws where the model does not have an option, or an option not the value. */
export function expectNetworkOptions(name: string, options: NetworkOptions): void {
  const [, family] = entry(name);
  const given = networkOptionsOf(options);
  for (const option of networkOptionNames) {
    const value = given[option];
    if (value === undefined) continue;
    if (!family.options.includes(option)) throw notOf(name, option, value, family);
    const legal = legalValues[option];
    if (typeof legal === 'function' ? legal(value) : legal.includes(value)) continue;
    if (typeof legal !== 'function') throw unknown(option, String(value), legal.map(String));
    const wanted = 'a number from 0 to below 1';
    throw new PlusxError('option', `${name}: ${option} must be ${wanted}, got ${String(value)}`);
  }
}

type Value = string | number | boolean | null;

const legalValues: Readonly<Record<NetworkOption, readonly Value[] | ((value: Value) => boolean)>> =
  {
    stem: resnet.stems,
    variant: resnet.variants,
    shortcut: cifar.cifarShortcuts,
    zeroInitResidual: [true, false],
    squeezeExcitation: [true, false],
    dropout: (value) => typeof value === 'number' && value >= 0 && value < 1,
  };

function entry(name: string): readonly [Create, Family] {
  const found = Object.hasOwn(registry, name) ? registry[name] : undefined;
  if (!found) throw unknown('model', name, modelNames);
  return found;
}

function notOf(name: string, option: string, value: Value, { options }: Family): PlusxError {
  const others =
    options.length === 0 ? 'it has no options of its own' : `it has ${options.join(', ')}`;
  const owners = Object.keys(registry).filter((other) =>
    registry[other]![1].options.includes(option as NetworkOption),
  );
  return new PlusxError(
    'option',
    `${name}: there is no option ${option} (given: ${String(value)}); ${others}. Leave it out, or ` +
      `take one of ${owners.join(', ')}`,
    { model: name, option, value },
  );
}

function unknown(what: string, name: string, known: readonly string[]): PlusxError {
  return new PlusxError(
    `unknown-${what}`,
    `${what} "${name}" is not known; did you mean "${closest(name, [...known])}"? ` +
      `Known: ${known.join(', ')}`,
    { name, known },
  );
}
