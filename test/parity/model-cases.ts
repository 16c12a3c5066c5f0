/** The networks of scripts/fixtures/models.py, with weights that both sides compute. */
import { readFileSync } from 'node:fs';
import type { Backend, TensorData } from '../../src/backend/backend.js';
import { elementCount, type Graph } from '../../src/graph/graph.js';
import type { Backbone } from '../../src/models/backbone.js';
import { BasicBlock, Bottleneck } from '../../src/models/blocks.js';
import type { NetworkOptions } from '../../src/models/options.js';
import { PlainBlock } from '../../src/models/plain.js';
import { createModel } from '../../src/models/registry.js';
import { ResNet, type ResNetOptions } from '../../src/models/resnet.js';
import { alexnet } from '../../src/models/alexnet.js';
import * as vgg from '../../src/models/vgg.js';
import { BatchNorm2d } from '../../src/nn/layers.js';
import type { Module } from '../../src/nn/module.js';
import { compilePlan } from '../../src/plan/compile.js';
import { fromFileLayout } from '../../src/train/state-dict.js';
import { words } from './formula.js';

/** What a case of either fixture says of its network and its images. */
export interface ModelCase {
  readonly title: string;
  readonly model: string;
  readonly options: NetworkOptions & { readonly hiddenFeatures?: number };
  readonly classes: number;
  readonly batchSize: number;
  readonly imageSize: number;
  /** Weight and bias of every batch-norm. */
  readonly batchNorm: readonly [number, number];
  /** Weights are drawn from ±gain/√fanIn. */
  readonly gain: number;
}

/** The cases of test/fixtures/models/<name>.json. */
export function modelFixture<T>(name: string): readonly T[] {
  const path = new URL(`../../../test/fixtures/models/${name}.json`, import.meta.url);
  return (JSON.parse(readFileSync(path, 'utf8')) as { readonly cases: readonly T[] }).cases;
}

type Create = (options: ModelCase['options'] & { readonly classes: number }) => Backbone;

const oneBlockAStage = [1, 1, 1, 1] as const;
const photo = (options: object) => options as ResNetOptions;

/** What the registry does not make: one block a stage, and classifiers with few features. */
const madeForTests: Readonly<Record<string, Create>> = {
  'basic blocks': (options) => new ResNet(BasicBlock, oneBlockAStage, photo(options)),
  'bottleneck blocks': (options) => new ResNet(Bottleneck, oneBlockAStage, photo(options)),
  'plain blocks': (options) => new ResNet(PlainBlock, oneBlockAStage, photo(options)),
  'wide bottlenecks': (options) =>
    new ResNet(Bottleneck, oneBlockAStage, photo(options), { widthPerGroup: 128 }),
  'grouped bottlenecks': (options) =>
    new ResNet(Bottleneck, oneBlockAStage, photo(options), { groups: 32, widthPerGroup: 4 }),
  alexnet: (options) => alexnet(options as never),
  ...Object.fromEntries(
    [11, 13, 16, 19].flatMap((depth) => [
      [`vgg${depth}`, vgg[`vgg${depth}` as 'vgg11']],
      [`vgg${depth}_bn`, vgg[`vgg${depth}bn` as 'vgg11bn']],
    ]),
  ),
};

export function modelOf({ model, options, classes }: ModelCase): Backbone {
  const create = madeForTests[model];
  return create ? create({ ...options, classes }) : createModel(model, { ...options, classes });
}

/** Weights by key, in the inside layout, as `fill` of models.py draws them. */
export function formulaWeights(model: Module, { batchNorm, gain }: ModelCase) {
  const norms = new Set<string>();
  for (const [path, module] of model.namedModules()) {
    if (module instanceof BatchNorm2d) norms.add(path);
  }
  const [weight, bias] = batchNorm;
  const constants = { weight, bias, running_mean: 0, running_var: 1 };
  const weights = new Map<string, Float32Array>();
  let stream = 0;
  let fanIn = 1;
  for (const [key, { shape }] of model.namedParameters()) {
    const dot = key.lastIndexOf('.');
    const count = elementCount(shape);
    if (norms.has(key.slice(0, dot))) {
      const value = constants[key.slice(dot + 1) as keyof typeof constants];
      weights.set(key, new Float32Array(count).fill(value));
    } else {
      if (shape.length > 1) fanIn = count / shape[0]!;
      const bound = (shape.length > 1 ? gain : 1) / Math.sqrt(fanIn);
      const uniform = words(stream, count);
      const data = new Float32Array(count);
      for (let i = 0; i < count; i++) data[i] = (2 * (uniform[i]! / 2 ** 32) - 1) * bound;
      weights.set(key, fromFileLayout(shape, { shape: fileShape(shape), data }));
    }
    stream++;
  }
  return weights;
}

function fileShape(shape: readonly number[]): readonly number[] {
  const [K, R, S, C] = shape as [number, number, number, number];
  return shape.length === 4 ? [K, C, R, S] : shape;
}

/** Runs a graph once with these weights and hands over its outputs by name. */
export async function runGraph(
  backend: Backend,
  graph: Graph,
  weights: ReadonlyMap<string, Float32Array>,
  inputs: Readonly<Record<string, TensorData>>,
  read: (name: string, data: Float32Array, shape: readonly number[]) => void,
): Promise<void> {
  const executable = await backend.compile(compilePlan(graph, backend.capabilities));
  const { state, outputs } = executable.plan;
  for (const [key, slot] of Object.entries(state.slots)) {
    await executable.write(slot, weights.get(key)!);
  }
  await executable.run(inputs);
  for (const [name, slot] of Object.entries(outputs)) {
    read(name, (await executable.read(slot)) as Float32Array, slot.shape);
  }
  await executable.dispose();
}
