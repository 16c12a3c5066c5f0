/**
 * From options to a complete configuration: defaults, rules for each value, and what may change
 * when a run goes on. Everything is checked here, before anything is read or written.
 */
import { closest } from 'fastest-levenshtein';
import { z } from 'zod';
import { deviceNames, instructionSets, type DeviceChoice } from '../backend/devices.js';
import { ownImageSize } from '../data/open.js';
import { PlusxError } from '../errors.js';
import { networkOptionSchemas, type NetworkOption } from '../models/options.js';
import { expectNetworkOptions, modelDefaults, modelNames } from '../models/registry.js';
import { precisions } from '../plan/precision.js';
import { freezeChoices } from './fine-tuning.js';
import { adamW, sgd, type Optimizer } from './optimizers.js';
import type { TrainConfig, TrainOptions } from './train-options.js';

const deviceChoices: readonly DeviceChoice[] = ['auto', ...deviceNames];

/** The shape of a configuration in config.json and in checkpoints. */
export const trainConfigSchema = z.object({
  folder: z.string(),
  model: z.string(),
  ...networkOptionSchemas,
  imageSize: z.int(),
  epochs: z.int(),
  batchSize: z.int(),
  lr: z.number(),
  momentum: z.number(),
  weightDecay: z.number(),
  optimizer: z.enum(['sgd', 'adamw']),
  schedule: z.enum(['constant', 'cosine']),
  warmupEpochs: z.number(),
  // Runs from before there was fine-tuning began with drawn weights and train everything.
  weights: z.string().nullable().default(null),
  freeze: z.enum(freezeChoices).default('none'),
  headLr: z.number().nullable().default(null),
  freezeStatistics: z.boolean().default(false),
  accumulate: z.int().default(1),
  // Runs from before there was a choice computed in float32, and go on so.
  precision: z.enum(precisions).default('fp32'),
  seed: z.int(),
  device: z.enum(['auto', 'native', 'wasm', 'reference']),
  threads: z.int().nullable(),
  // Runs from before there was this option go on with the best one.
  instructionSet: z.enum(instructionSets).nullable().default(null),
  checkpointEvery: z.int(),
  logEvery: z.int(),
  valSplit: z.number(),
  skipBad: z.boolean(),
  exif: z.enum(['honour', 'ignore']),
}) satisfies z.ZodType<TrainConfig>;

type ConfigKey = keyof TrainConfig;

/** What is said of a run rather than of its result. */
const callKeys = ['out', 'resume', 'signal'];

const noNetworkOptions = z.object(networkOptionSchemas).parse({});

const configKeys = Object.keys(trainConfigSchema.shape) as ConfigKey[];

/** These may differ when a run goes on: none of them changes its steps. */
const freeOnResume = new Set<ConfigKey>([
  'folder',
  'epochs',
  'device',
  'threads',
  'instructionSet',
  'checkpointEvery',
  'logEvery',
  'skipBad',
]);

/** The configuration of a new run. */
export function configure(options: TrainOptions): TrainConfig {
  expectKnownOptions(options);
  const { folder, optimizer = 'sgd', model = 'resnet18' } = options;
  if (folder === undefined) {
    throw new PlusxError('option', 'train: no folder is given; name a folder of photographs');
  }
  const defaults: TrainConfig = {
    folder,
    model,
    ...noNetworkOptions,
    imageSize:
      ownImageSize(folder) ?? (modelNames.includes(model) ? modelDefaults(model).imageSize : 224),
    epochs: 10,
    batchSize: 8,
    lr: optimizer === 'adamw' ? 0.001 : 0.01,
    momentum: 0,
    weightDecay: optimizer === 'adamw' ? 0.01 : 0,
    optimizer: 'sgd',
    schedule: 'constant',
    warmupEpochs: 0,
    weights: null,
    freeze: 'none',
    headLr: null,
    freezeStatistics: false,
    accumulate: 1,
    precision: 'fp32',
    seed: 0,
    device: 'auto',
    threads: null,
    instructionSet: null,
    checkpointEvery: 100,
    logEvery: 10,
    valSplit: 0.1,
    skipBad: false,
    exif: 'honour',
  };
  const config = { ...defaults, ...givenOptions(options) };
  expectValid(config);
  return config;
}

/** The configuration of a run that goes on: its own, but for what is given anew. */
export function configureResumed(stored: TrainConfig, options: TrainOptions): TrainConfig {
  expectKnownOptions(options);
  const given = givenOptions(options);
  for (const key of configKeys) {
    const value = given[key];
    if (value === undefined || value === stored[key] || freeOnResume.has(key)) continue;
    throw new PlusxError(
      'resume-option',
      `resume: ${key} is ${format(value)} now, the run was started with ${format(stored[key])}; ` +
        'leave it out to go on with the run, or start a new one with another --out',
      { key, given: value, stored: stored[key] },
    );
  }
  // A run that goes on on another engine leaves its instruction set behind.
  const instructionSet = isOfNative(given.device ?? 'auto') ? stored.instructionSet : null;
  const config = { ...stored, instructionSet, ...given };
  expectValid(config);
  if (config.epochs < stored.epochs) {
    throw new PlusxError(
      'resume-option',
      `resume: epochs is ${config.epochs} now, the run was started with ${stored.epochs}; ` +
        'it can be raised, not lowered',
      { key: 'epochs', given: config.epochs, stored: stored.epochs },
    );
  }
  return config;
}

export function optimizerOf({ optimizer, lr, momentum, weightDecay }: TrainConfig): Optimizer {
  return optimizer === 'sgd' ? sgd({ lr, momentum, weightDecay }) : adamW({ lr, weightDecay });
}

function givenOptions(options: TrainOptions): Partial<TrainConfig> {
  const given: Record<string, unknown> = {};
  for (const key of configKeys) if (options[key] !== undefined) given[key] = options[key];
  return given;
}

function expectKnownOptions(options: TrainOptions): void {
  const known = [...configKeys, ...callKeys];
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    throw new PlusxError(
      'unknown-option',
      `train: option "${key}" is not known; did you mean "${closest(key, known)}"?`,
      { key },
    );
  }
}

interface Rule {
  readonly legal: (value: never) => boolean;
  readonly wanted: string;
  /** Where only some words are legal. */
  readonly names?: readonly string[];
}

const oneOf = (names: readonly string[]): Rule => ({
  legal: (value: string) => names.includes(value),
  wanted: `one of ${names.join(', ')}`,
  names,
});
const whole = (least: number): Rule => ({
  legal: (value: number) => Number.isSafeInteger(value) && value >= least,
  wanted: `a whole number of at least ${least}`,
});
const between = (low: number, high: number): Rule => ({
  legal: (value: number) => value >= low && value < high,
  wanted: `at least ${low} and below ${high}`,
});
const aboveZero = (limit: number): Rule => ({
  legal: (value: number) => value > 0 && value < limit,
  wanted: limit === Infinity ? 'a finite number above 0' : `above 0 and below ${limit}`,
});
const notNegative: Rule = {
  legal: (value: number) => value >= 0 && value < Infinity,
  wanted: 'a finite number of at least 0',
};
const flag: Rule = { legal: (value) => typeof value === 'boolean', wanted: 'true or false' };
const orNull = (rule: Rule): Rule => ({
  ...rule,
  legal: (value) => value === null || rule.legal(value),
});

/** The network's options have rules of their own: `expectNetworkOptions`. */
const rules: Readonly<Record<Exclude<ConfigKey, NetworkOption>, Rule>> = {
  folder: { legal: (value: string) => value !== '', wanted: 'the path of a folder' },
  model: oneOf(modelNames),
  imageSize: {
    legal: (value: number) => Number.isInteger(value) && value >= 1 && value <= 4096,
    wanted: 'a whole number from 1 to 4096 pixels',
  },
  epochs: whole(1),
  batchSize: whole(1),
  lr: aboveZero(Infinity),
  momentum: between(0, 1),
  weightDecay: notNegative,
  optimizer: oneOf(['sgd', 'adamw']),
  schedule: oneOf(['constant', 'cosine']),
  warmupEpochs: notNegative,
  weights: orNull({ legal: (value: string) => value !== '', wanted: 'the path of a file' }),
  freeze: oneOf(freezeChoices),
  headLr: orNull(aboveZero(Infinity)),
  freezeStatistics: flag,
  accumulate: whole(1),
  precision: oneOf(precisions),
  seed: whole(0),
  device: oneOf(deviceChoices),
  threads: orNull(whole(1)),
  instructionSet: orNull(oneOf(instructionSets)),
  checkpointEvery: whole(1),
  logEvery: whole(1),
  valSplit: aboveZero(1),
  skipBad: flag,
  exif: oneOf(['honour', 'ignore']),
};

function expectValid(config: TrainConfig): void {
  for (const [key, { legal, wanted, names }] of Object.entries(rules) as [ConfigKey, Rule][]) {
    const value = config[key];
    if (legal(value as never)) continue;
    throw illegal(key, value, wanted, names);
  }
  expectNetworkOptions(config.model, config);
  const { optimizer, momentum, warmupEpochs, epochs, device, instructionSet } = config;
  if (config.accumulate > config.batchSize) {
    const wanted = `at most the images of a step, batchSize ${config.batchSize}`;
    throw illegal('accumulate', config.accumulate, wanted);
  }
  if (instructionSet !== null && !isOfNative(device)) {
    const wanted = `left out with the device "${device}", which has no choice of them`;
    throw illegal('instructionSet', instructionSet, wanted);
  }
  if (optimizer === 'adamw' && momentum !== 0) {
    throw illegal('momentum', momentum, '0 with adamw, which has moments of its own');
  }
  if (warmupEpochs > epochs) {
    throw illegal('warmupEpochs', warmupEpochs, `at most the number of epochs, ${epochs}`);
  }
}

/** Whether a device is, or may become, the engine that has instruction sets to choose from. */
function isOfNative(device: DeviceChoice): boolean {
  return device === 'auto' || device === 'native';
}

function illegal(
  key: ConfigKey,
  value: unknown,
  wanted: string,
  names?: readonly string[],
): PlusxError {
  const nearest = names ? `; did you mean "${closest(String(value), [...names])}"?` : '';
  return new PlusxError(
    'option',
    `train: ${key} must be ${wanted}, got ${format(value)}${nearest}`,
    { key, value },
  );
}

const format = (value: unknown) => (typeof value === 'string' ? `"${value}"` : String(value));
