/** What a model is made of: each layer with its output, its parameters and its arithmetic. */
import type { Shape } from '../graph/graph.js';
import { elementCount } from '../graph/graph.js';
import type { Module } from '../nn/module.js';
import { Trace } from '../nn/trace.js';
import { ruleOf } from '../ops/table.js';

export interface LayerSummary {
  /** The module's path; empty for functions of the model itself. */
  readonly path: string;
  readonly op: string;
  /** For one image: (H, W, C) or (features). */
  readonly output: Shape;
  /** Trained numbers. */
  readonly parameters: number;
  /** Multiply-adds for one image. */
  readonly macs: number;
}

export interface ModelSummary {
  readonly layers: readonly LayerSummary[];
  readonly parameters: number;
  readonly macs: number;
}

/** Walks `model` for one square RGB image of `imageSize` pixels. */
export function summarize(model: Module, imageSize: number): ModelSummary {
  const trace = new Trace(model, { training: false });
  model(trace.input('images', { shape: [1, imageSize, imageSize, 3], dtype: 'f32' }));
  const trained = new Map(
    trace.trained().map(({ value }) => [value.id, elementCount(value.shape)]),
  );
  const layers = trace.builder.nodes.map((node): LayerSummary => {
    const flops = ruleOf(node.op).flops?.(node.inputs, node.outputs, node.attributes as never) ?? 0;
    return {
      path: node.path,
      op: node.op,
      output: node.outputs[0]!.shape.slice(1),
      parameters: node.inputs.reduce((sum, { id }) => sum + (trained.get(id) ?? 0), 0),
      macs: flops / 2,
    };
  });
  return {
    layers,
    parameters: model.parameterCount(),
    macs: layers.reduce((sum, layer) => sum + layer.macs, 0),
  };
}
