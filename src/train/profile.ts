/**
 * From the times of a plan's steps to what they say: rates, and how near each step comes to what
 * the machine can do at most (Williams, Waterman and Patterson 2009, Roofline).
 */
import type { Peaks } from '../backend/backend.js';
import { mainTensor, stepBytes } from '../plan/cost.js';
import type { ConvAlgorithm, Plan, StepKind } from '../plan/plan.js';
import { median } from './timing.js';

/** What is known of a step, of several together, or of a whole run. */
export interface StepFigures {
  readonly seconds: number;
  /** Of the time of all steps. */
  readonly share: number;
  /** By definition: a convolution's are those of the direct sum, whatever its algorithm saves. */
  readonly flops: number;
  /** Each tensor once, which is nearly always the least (see plan/cost.ts). */
  readonly bytes: number;
  readonly flopsPerSecond: number;
  readonly bytesPerSecond: number;
  /** The larger of flops / peak and bytes / bandwidth. */
  readonly rooflineSeconds: number;
  /**
   * rooflineSeconds / seconds. Above 1 where an algorithm saves arithmetic, or where tensors are
   * still in the caches: both are what one wants.
   */
  readonly roofline: number;
}

export interface ProfiledStep extends StepFigures {
  /** Place in the plan. */
  readonly index: number;
  readonly kind: StepKind;
  /** A convolution's. */
  readonly algorithm: ConvAlgorithm | null;
  /** Of the module that it belongs to. */
  readonly path: string;
  /** Of the tensor that it computes. */
  readonly shape: readonly number[];
  /** Which side of the roofline it lies under. */
  readonly limit: 'arithmetic' | 'memory';
}

/** All steps of one kind and algorithm. */
export interface StepGroup extends StepFigures {
  readonly kind: StepKind;
  readonly algorithm: ConvAlgorithm | null;
  readonly count: number;
}

/** The figures of each step by the medians of several profiled runs. */
export function profiledSteps(
  plan: Plan,
  runs: readonly Float64Array[],
  peaks: Peaks,
): ProfiledStep[] {
  const medians = plan.steps.map((_, i) => median(runs.map((seconds) => seconds[i]!)));
  const all = sum(medians);
  return plan.steps.map((step, index) => {
    const flops = plan.stepFlops[index]!;
    const bytes = stepBytes(step);
    const arithmetic = flops / peaks.flopsPerSecond;
    const memory = bytes / peaks.bytesPerSecond;
    const rooflineSeconds = Math.max(arithmetic, memory);
    return {
      index,
      kind: step.kind,
      algorithm: 'algorithm' in step ? step.algorithm : null,
      path: plan.paths[index]!,
      shape: mainTensor(step).shape,
      limit: arithmetic > memory ? 'arithmetic' : 'memory',
      ...figures({ seconds: medians[index]!, flops, bytes, rooflineSeconds }, all),
    };
  });
}

/** The steps by kind and algorithm, those that take longest first. */
export function groupSteps(steps: readonly ProfiledStep[]): StepGroup[] {
  const groups = new Map<string, ProfiledStep[]>();
  for (const step of steps) {
    const key = `${step.kind} ${step.algorithm}`;
    groups.set(key, [...(groups.get(key) ?? []), step]);
  }
  return [...groups.values()]
    .map((members) => {
      const { kind, algorithm } = members[0]!;
      return { kind, algorithm, count: members.length, ...together(members, steps) };
    })
    .sort((a, b) => b.seconds - a.seconds);
}

/** The figures of some of the steps, as if they were one. */
export function together(
  members: readonly StepFigures[],
  steps: readonly StepFigures[] = members,
): StepFigures {
  const total = (of: (step: StepFigures) => number) => sum(members.map(of));
  return figures(
    {
      seconds: total(({ seconds }) => seconds),
      flops: total(({ flops }) => flops),
      bytes: total(({ bytes }) => bytes),
      rooflineSeconds: total(({ rooflineSeconds }) => rooflineSeconds),
    },
    sum(steps.map(({ seconds }) => seconds)),
  );
}

type Measured = Pick<StepFigures, 'seconds' | 'flops' | 'bytes' | 'rooflineSeconds'>;

function figures(measured: Measured, allSeconds: number): StepFigures {
  const { seconds, flops, bytes, rooflineSeconds } = measured;
  return {
    seconds,
    share: seconds / allSeconds,
    flops,
    bytes,
    flopsPerSecond: flops / seconds,
    bytesPerSecond: bytes / seconds,
    rooflineSeconds,
    roofline: rooflineSeconds / seconds,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
