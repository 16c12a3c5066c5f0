/** Every step of a Plan by its definition. One row a kind, exhaustive. */
import type { StepKind, StepOf } from '../../plan/plan.js';
import { convolutionSteps } from './convolution.js';
import { dataSteps } from './data-movement.js';
import type { Arena } from './index.js';
import { lossSteps } from './loss.js';
import { normSteps } from './normalization.js';
import { optimizerSteps } from './optimizer.js';
import { poolSteps } from './pool.js';

/** Runs steps of the kinds of one family. */
export type StepTable<Kinds extends StepKind> = {
  readonly [Kind in Kinds]: (step: StepOf<Kind>, arena: Arena) => void;
};

const table: StepTable<StepKind> = {
  ...convolutionSteps,
  ...normSteps,
  ...dataSteps,
  ...poolSteps,
  ...lossSteps,
  ...optimizerSteps,
};

export function runStep<Kind extends StepKind>(step: StepOf<Kind>, arena: Arena): void {
  const run = table[step.kind];
  run(step, arena);
}
