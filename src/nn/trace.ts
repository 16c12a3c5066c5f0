/**
 * A trace runs a model's `forward` once and writes down, as a graph, what it would compute.
 *
 * It knows which module is at work, so that every node carries its path and every error names it.
 */
import { PlusxError } from '../errors.js';
import { GraphBuilder, type TensorType } from '../graph/builder.js';
import type { Value } from '../graph/graph.js';
import { emitInto } from '../ops/emit.js';
import type { Emit } from '../ops/op.js';
import type { OpAttributes, OpName } from '../ops/table.js';
import type { Module } from './module.js';
import type { Parameter } from './parameter.js';
import { Tensor } from './tensor.js';

export interface TraceOptions {
  /** Training uses batch statistics and updates the running ones; evaluation reads those. */
  readonly training: boolean;
  /**
   * Keys of the state that stays as it is: parameters that are not trained, and running statistics,
   * by which a batch normalisation then normalises as in evaluation. Default: none.
   */
  readonly frozen?: ReadonlySet<string>;
}

export class Trace {
  readonly builder = new GraphBuilder();
  readonly training: boolean;
  /** The model's parameters and buffers by state-dict key. */
  readonly parameters: ReadonlyMap<string, Parameter>;

  private readonly frozen: ReadonlySet<string>;
  private randomnessInput: Tensor | undefined;
  private dropoutLayers = 0;

  private readonly values = new Map<Parameter, { key: string; value: Value }>();
  private readonly paths = new Map<Module, string>();
  private readonly callStack: string[] = [];
  private readonly emitNode: Emit;

  constructor(model: Module, { training, frozen = new Set() }: TraceOptions) {
    this.training = training;
    this.frozen = frozen;
    this.emitNode = emitInto(this.builder, () => this.callStack.at(-1) ?? '');
    for (const [path, module] of model.namedModules()) {
      if (!this.paths.has(module)) this.paths.set(module, path);
    }
    this.parameters = model.namedParameters();
    for (const [key, parameter] of this.parameters) {
      if (this.values.has(parameter)) continue;
      const value = this.builder.state(key, { shape: parameter.shape, dtype: 'f32' });
      this.values.set(parameter, { key, value });
    }
  }

  input(name: string, type: TensorType): Tensor {
    return new Tensor(this.builder.input(name, type), this);
  }

  /**
   * For a dropout's mask: the step's words of randomness, an input `randomness` (4) i32 that the graph
   * has where anybody asks, and a number that no other dropout of the model has.
   */
  randomness(): { readonly words: Tensor; readonly layer: number } {
    this.randomnessInput ??= this.input('randomness', { shape: [4], dtype: 'i32' });
    return { words: this.randomnessInput, layer: this.dropoutLayers++ };
  }

  /** The tensor of a parameter that a module of this model owns. */
  use(parameter: Parameter): Tensor {
    return new Tensor(this.entry(parameter).value, this);
  }

  /** Lets a buffer take a new value when the step is over. */
  update(parameter: Parameter, value: Tensor): void {
    this.builder.update(this.entry(parameter).key, value.value);
  }

  /** Whether a parameter or buffer stays as it is. */
  isFrozen(parameter: Parameter): boolean {
    return this.frozen.has(this.entry(parameter).key);
  }

  /** The trained parameters' values by key, each once. */
  trained(): { key: string; value: Value }[] {
    return [...this.values]
      .filter(([parameter]) => !parameter.buffer && !this.isFrozen(parameter))
      .map(([, entry]) => entry);
  }

  emit<Op extends OpName>(
    op: Op,
    inputs: readonly Tensor[],
    attributes: OpAttributes[Op],
  ): Tensor[] {
    const values = inputs.map((tensor) => tensor.value);
    return this.emitNode(op, values, attributes).map((value) => new Tensor(value, this));
  }

  /** As `emit`, for ops with one output. */
  emitOne<Op extends OpName>(
    op: Op,
    inputs: readonly Tensor[],
    attributes: OpAttributes[Op],
  ): Tensor {
    return this.emit(op, inputs, attributes)[0]!;
  }

  /** Runs a module's `forward`; a shape error inside gets the module's path in front, once. */
  call(module: Module, x: Tensor): Tensor {
    const path = this.paths.get(module) ?? '';
    this.callStack.push(path);
    try {
      return module.forward(x);
    } catch (error) {
      if (!(error instanceof PlusxError) || error.code !== 'shape' || error.details.path) {
        throw error;
      }
      throw new PlusxError('shape', path ? `${path}: ${error.message}` : error.message, {
        path: path || '(model)',
      });
    } finally {
      this.callStack.pop();
    }
  }

  private entry(parameter: Parameter): { key: string; value: Value } {
    const entry = this.values.get(parameter);
    if (!entry) {
      throw new PlusxError(
        'parameter-not-found',
        'a parameter is used that no property of the model leads to; ' +
          'assign the module that owns it to a property (lists: sequential(...))',
      );
    }
    return entry;
  }
}
