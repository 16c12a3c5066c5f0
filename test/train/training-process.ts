/** Trains in a process of its own, to be killed: `node training-process.js <options as JSON>`. */
import { train, type TrainOptions } from '../../src/train/trainer.js';

const options = JSON.parse(process.argv[2]!) as TrainOptions;
const say = (line: string) => process.stdout.write(`${line}\n`);
const summary = await train(options, {
  start: ({ resumedAtStep }) => say(`start ${resumedAtStep}`),
  step: ({ globalStep }) => say(`step ${globalStep}`),
  validation: ({ images }) => say(`validation ${images}`),
});
say(summary.status);
