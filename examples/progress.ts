/** Python's tqdm: goes through batches under a bar; away from a terminal, a line now and then. */
import cliProgress from 'cli-progress';

/** The items of `source`; beside the bar stands what `text` says after each of them. */
export async function* progress<T>(
  label: string,
  source: AsyncIterable<T> & { readonly length: number },
  text: () => string,
): AsyncGenerator<T> {
  const bar = new cliProgress.SingleBar({
    format: `${label} {bar} {value}/{total}  {text}  {eta_formatted} left`,
    barsize: 24,
    noTTYOutput: true,
    notTTYSchedule: 10_000, // ms
    // Ctrl-C ends the script at once: the bar must leave nothing in the terminal to put back.
    gracefulExit: false,
    linewrap: true,
  });
  let begun = 0;
  bar.start(source.length, begun, { text: '' });
  try {
    for await (const item of source) {
      begun++;
      yield item;
      bar.update(begun, { text: text() });
    }
  } finally {
    // The loop may have been left from within.
    bar.update(begun, { text: text() });
    bar.stop();
  }
}
