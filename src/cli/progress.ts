/** Progress on stderr: a bar on a terminal, else a line now and then. */
import cliProgress from 'cli-progress';

export interface Progress {
  update(done: number, total: number, text: string): void;
  stop(): void;
}

const secondsBetweenLines = 10;

/** Shows how far `label` is. */
export function startProgress(label: string): Progress {
  return process.stderr.isTTY ? bar(label) : lines(label);
}

function bar(label: string): Progress {
  const single = new cliProgress.SingleBar({
    stream: process.stderr,
    format: '{label} {bar} {value}/{total}  {text}',
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    barsize: 24,
    fps: 8,
    linewrap: false,
  });
  let started = false;
  return {
    update(done, total, text) {
      if (!started) single.start(total, done, { label, text });
      started = true;
      single.setTotal(total);
      single.update(done, { label, text });
    },
    stop() {
      if (started) single.stop();
      started = false;
    },
  };
}

function lines(label: string): Progress {
  let last = performance.now();
  return {
    update(done, total, text) {
      const now = performance.now();
      if (now - last < secondsBetweenLines * 1000) return;
      last = now;
      process.stderr.write(`${label} ${done}/${total}  ${text}\n`);
    },
    stop() {},
  };
}
