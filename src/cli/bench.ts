/** `plusx bench step`: how fast a training step, or an evaluation, is on this machine. */
import { Command } from 'commander';
import { bytesText } from '../errors.js';
import { networkText } from '../models/options.js';
import type { Plan } from '../plan/plan.js';
import { printPlan } from '../plan/print.js';
import { benchStep, type BenchStepOptions, type StepTiming } from '../train/bench-step.js';
import { planStep, profileStep } from '../train/profile-step.js';
import {
  addNetworkOptions,
  deviceOption,
  instructionSetOption,
  jsonOption,
  modelOption,
  precisionOption,
  threadsOption,
  wholeOption,
} from './options.js';
import { Output, precisionText } from './output.js';
import { showProfile } from './profile.js';
import { startProgress } from './progress.js';

export const benchCommand = () =>
  new Command('bench').description('measure the engine').addCommand(stepCommand());

const stepCommand = () =>
  addNetworkOptions(
    new Command('step')
      .description('time a training step after warm-up, on images made up in memory')
      .addOption(modelOption()),
    'conv3x3',
  )
    .addOption(wholeOption('--image-size <pixels>', 'side of the images; default 64'))
    .addOption(wholeOption('--batch-size <n>', 'images a step; default 8'))
    .addOption(wholeOption('--steps <n>', 'steps to time; default 10'))
    .addOption(wholeOption('--warmup <n>', 'steps before; default 3', 0))
    .option('--inference', 'evaluate the images rather than train on them')
    .addOption(precisionOption())
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(instructionSetOption())
    .option('--profile', "time each step of its plan, and compare it with the machine's limits")
    .option('--plan', 'print its plan and run nothing')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ plusx bench step --image-size 64 --batch-size 8\n' +
        '  $ plusx bench step --device wasm --threads 1 --json\n' +
        '  $ plusx bench step --profile\n' +
        '  $ plusx bench step --precision bf16 --plan\n' +
        '  $ plusx bench step --inference --stem conv7x7 --image-size 224 --batch-size 1 --profile\n' +
        '  $ plusx bench step --device native --instruction-set avx2\n',
    )
    .action(async ({ json = false, profile, plan, ...options }: Options) => {
      const output = new Output(json);
      const onNotice = (line: string) => output.notice(line);
      if (plan) return showPlan(output, await planStep({ ...options, onNotice }));
      const progress = startProgress('steps');
      const onProgress = (done: number, total: number) => progress.update(done, total, '');
      const measured = { ...options, onNotice, onProgress };
      const stop = () => progress.stop();
      if (profile) showProfile(output, await profileStep(measured).finally(stop));
      else showTiming(output, await benchStep(measured).finally(stop));
    });

interface Options extends BenchStepOptions {
  readonly json?: boolean;
  readonly profile?: boolean;
  readonly plan?: boolean;
}

function showPlan(output: Output, plan: Plan): void {
  output.record({ type: 'plan', ...plan });
  output.print(printPlan(plan).trimEnd());
}

function showTiming(output: Output, timing: StepTiming): void {
  output.record({ ...timing });
  const { median, min, max } = timing.secondsPerStep;
  output.print(
    `${networkText(timing)}, ${timing.imageSize} px, batch ${timing.batchSize}, ` +
      `${timing.device} ${timing.instructionSet}, ${timing.threads} threads` +
      `${precisionText(timing.precision)}:\n` +
      `${median.toFixed(3)} s a step (${min.toFixed(3)} to ${max.toFixed(3)}, ` +
      `n = ${timing.steps}), ${timing.imagesPerSecond.toFixed(1)} images/s, ` +
      `${(timing.flopsPerSecond / 1e9).toFixed(0)} GFLOP/s, ` +
      `peak memory ${bytesText(timing.peakMemoryBytes)}`,
  );
}
