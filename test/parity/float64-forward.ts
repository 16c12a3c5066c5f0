/**
 * A plan computed by the reference backend's own steps, but in float64 throughout: the forward pass
 * whose finite differences are exact enough to judge float32 gradients by.
 */
import type { TensorData } from '../../src/backend/backend.js';
import { Arena } from '../../src/backend/reference/index.js';
import { runStep } from '../../src/backend/reference/steps.js';
import { elementCount } from '../../src/graph/graph.js';
import type { Plan, Slot } from '../../src/plan/plan.js';

/** Every slot at twice its offset: eight bytes a value instead of four at most. */
class Float64Arena extends Arena {
  private readonly bytes64: ArrayBuffer;

  constructor(plan: Plan) {
    super();
    this.bytes64 = new ArrayBuffer(2 * plan.arenaBytes);
  }

  /** The steps read and write values one by one: they compute in whatever the array holds. */
  override f32(slot: Slot): Float32Array {
    const values = new Float64Array(this.bytes64, 2 * slot.offset, elementCount(slot.shape));
    return values as unknown as Float32Array;
  }

  override view(slot: Slot): TensorData {
    if (slot.dtype === 'f32') return this.f32(slot);
    const type = slot.dtype === 'u8' ? Uint8Array : Int32Array;
    return new type(this.bytes64, 2 * slot.offset, elementCount(slot.shape));
  }
}

/** Inputs and state entries by name. */
export type Values = ReadonlyMap<string, Float64Array | TensorData>;

/** From inputs and state to the plan's output `name`, which is one value. */
export function float64Function(plan: Plan, name: string): (values: Values) => number {
  const arena = new Float64Arena(plan);
  const targets = Object.entries({ ...plan.inputs, ...plan.state.slots });
  return (values) => {
    for (const [target, slot] of targets) arena.view(slot).set(values.get(target)!);
    for (const step of plan.steps) runStep(step, arena);
    return arena.f32(plan.outputs[name]!)[0]!;
  };
}
