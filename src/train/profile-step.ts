/** Times each step of a training step's plan, and compares it with what the machine can do. */
import type { Peaks } from '../backend/backend.js';
import type { NetworkOptions } from '../models/options.js';
import type { Plan } from '../plan/plan.js';
import type { Precision } from '../plan/precision.js';
import { benchedNetwork, expectSteps, openBench } from './bench-step.js';
import type { BenchStepOptions } from './bench-step.js';
import { groupSteps, profiledSteps, together } from './profile.js';
import type { ProfiledStep, StepFigures, StepGroup } from './profile.js';
import { median } from './timing.js';

/** The network's options are those that it was made with. */
export interface StepProfile extends NetworkOptions {
  readonly model: string;
  readonly imageSize: number;
  readonly batchSize: number;
  readonly precision: Precision;
  readonly device: string;
  readonly instructionSet: string;
  readonly threads: number;
  /** Profiled runs: every time below is the median of so many. */
  readonly runs: number;
  /** What the machine reached in half a second of measuring, on the same threads. */
  readonly peaks: Peaks;
  /** A training step as its caller sees it, the copies of inputs and results included. */
  readonly secondsPerStep: number;
  /** All steps of the plan together. */
  readonly total: StepFigures;
  /** By kind and algorithm, those that take longest first. */
  readonly groups: readonly StepGroup[];
  /** In the order of the plan. */
  readonly steps: readonly ProfiledStep[];
}

/**
 * Profiles training steps on images made up in memory, with the options of `benchStep`: `steps`
 * runs after `warmup` ones; with `inference` evaluations, without what is prepared once. Throws
 * `no-profile` where the engine does not time its steps.
 */
export async function profileStep(options: BenchStepOptions = {}): Promise<StepProfile> {
  const { model = 'resnet18', imageSize = 64, batchSize = 8, precision = 'fp32' } = options;
  const { steps: runs = 10, warmup = 3, inference = false, onProgress } = options;
  expectSteps(runs);
  const { backend, session, batch } = await openBench(options);
  const plan = inference ? everyRun(session.evaluationPlan) : await session.trainingPlan();

  const seconds: Float64Array[] = [];
  const whole: number[] = [];
  for (let i = 0; i < warmup + runs; i++) {
    const start = performance.now();
    const times = await (inference ? session.profileLogits(batch.images) : session.profile(batch));
    if (i >= warmup) {
      whole.push((performance.now() - start) / 1000);
      seconds.push(times.slice(-plan.steps.length));
    }
    onProgress?.(i + 1, warmup + runs);
  }
  await session.dispose();
  const peaks = await backend.measurePeaks();
  await backend.dispose();

  const steps = profiledSteps(plan, seconds, peaks);
  return {
    model,
    ...benchedNetwork(options),
    imageSize,
    batchSize,
    precision,
    device: backend.name,
    instructionSet: backend.instructionSet,
    threads: backend.threads,
    runs,
    peaks,
    secondsPerStep: median(whole),
    total: together(steps),
    groups: groupSteps(steps),
    steps,
  };
}

/** The steps of a plan that do not prepare. */
function everyRun(plan: Plan): Plan {
  const { prepareSteps, steps, paths, stepFlops } = plan;
  return {
    ...plan,
    prepareSteps: 0,
    steps: steps.slice(prepareSteps),
    paths: paths.slice(prepareSteps),
    stepFlops: stepFlops.slice(prepareSteps),
  };
}

/** The plan that `benchStep` and `profileStep` run with these options. */
export async function planStep(options: BenchStepOptions = {}): Promise<Plan> {
  const { backend, session } = await openBench(options);
  const plan = options.inference ? session.evaluationPlan : await session.trainingPlan();
  await session.dispose();
  await backend.dispose();
  return plan;
}
