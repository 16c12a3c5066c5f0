/** What dogs-vs-cats.ts is told on its command line. */
import { parseArgs } from 'node:util';
import { PlusxError } from 'plusx';

const usage = `Usage: dogs-vs-cats <folder> [options]

Trains on <folder>/train/<class>/… and tests on <folder>/test/<class>/…

  --test <name>             the part to test on (default test)
  --epochs <n>              default 10
  --batch-size <n>          default 8
  --image-size <pixels>     default 224
  --checkpoint-every <n>    steps between checkpoints (default 100)
  --max-steps <n>           stop early, after this many steps
  --out <folder>            for checkpoint.safetensors and model.safetensors
                            (default runs/dogs-vs-cats)`;

/** Throws PlusxError `usage` where a person has to write something else. */
export function readArguments(args: readonly string[]) {
  const { values, positionals } = parse(args);
  const [folder, ...others] = positionals;
  if (folder === undefined || others.length > 0) {
    throw new PlusxError('usage', `one folder is needed, got ${positionals.length}\n\n${usage}`);
  }
  return {
    folder,
    test: values.test,
    out: values.out,
    epochs: whole('--epochs', values.epochs),
    batchSize: whole('--batch-size', values['batch-size']),
    imageSize: whole('--image-size', values['image-size']),
    checkpointEvery: whole('--checkpoint-every', values['checkpoint-every']),
    maxSteps: values['max-steps'] ? whole('--max-steps', values['max-steps']) : Infinity,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        test: { type: 'string', default: 'test' },
        out: { type: 'string', default: 'runs/dogs-vs-cats' },
        epochs: { type: 'string', default: '10' },
        'batch-size': { type: 'string', default: '8' },
        'image-size': { type: 'string', default: '224' },
        'checkpoint-every': { type: 'string', default: '100' },
        'max-steps': { type: 'string' },
      },
    });
  } catch (error) {
    throw new PlusxError('usage', `${(error as Error).message}\n\n${usage}`);
  }
}

function whole(option: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new PlusxError('usage', `${option}: expected a whole number of at least 1, got "${text}"`);
}
