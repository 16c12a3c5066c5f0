/** One row: starts a process a side, verifies their first steps, then lets them take turns. */
import { setTimeout as wait } from 'node:timers/promises';
import { runs, type Row, type Side } from './rows.js';
import { startSide, type Tools } from './sides.js';
import { PeerFailure, type Peer } from './peer.js';
import { compare, Disagreement, type Agreement } from './verify.js';

export interface Measured {
  readonly side: Side;
  /** Name and version: `PyTorch 2.15.0`. */
  readonly program: string;
  readonly instructionSet: string;
  /** A step, one figure a turn: the mean of its steps. */
  readonly seconds: readonly number[];
  readonly peakBytes: number;
  /** The same before the first step: the runtime, its libraries, the weights. */
  readonly startBytes: number;
  /** Of the first training steps, which were compared. */
  readonly losses: readonly number[];
}

export interface LeftOut {
  readonly side: Side;
  readonly reason: string;
}

export interface RowResult {
  readonly row: Row;
  readonly measured: readonly Measured[];
  readonly leftOut: readonly LeftOut[];
  readonly agreement: Agreement;
}

interface Running {
  readonly side: Side;
  readonly peer: Peer;
  readonly program: string;
  readonly instructionSet: string;
  readonly startBytes: number;
  readonly seconds: number[];
  readonly losses: readonly number[];
  readonly logits: readonly number[];
}

/** Throws Disagreement where the sides do not compute the same. */
export async function measureRow(
  row: Row,
  sides: readonly Side[],
  warmup: number,
  tools: Tools,
  log: (line: string) => void,
): Promise<RowResult> {
  const running: Running[] = [];
  const leftOut: LeftOut[] = [];
  try {
    for (const side of sides.filter((each) => runs(each, row))) {
      try {
        const begun = await begin(side, row, warmup, tools, log);
        running.push(begun);
        if (side.name === 'compile') await dropUnlessAsEager(row, running);
      } catch (error) {
        if (!(error instanceof PeerFailure)) throw error;
        leftOut.push({ side, reason: error.message });
        log(`${row.name}: ${side.name} is left out: ${error.message}`);
      }
    }
    const agreement = verify(row, running, `${row.name}: `);
    log(`${row.name}: all agree within ${agreement.largestDifference.toExponential(1)}`);
    for (let round = 1; round <= row.rounds; round++) {
      for (const each of running) each.seconds.push(await turn(row, each));
      const figures = running.map(({ side, seconds }) => `${side.name} ${format(seconds.at(-1)!)}`);
      log(`${row.name}: round ${round}/${row.rounds}: ${figures.join(', ')}`);
    }
    const measured: Measured[] = [];
    for (const each of running) {
      const { side, program, instructionSet, seconds, startBytes, losses } = each;
      const peakBytes = await each.peer.peakBytes();
      measured.push({ side, program, instructionSet, seconds, peakBytes, startBytes, losses });
    }
    return { row, measured, leftOut, agreement };
  } finally {
    for (const { peer } of running) await peer.end();
  }
}

/** The first steps, which warm up what there is to warm up and are compared. */
async function begin(
  side: Side,
  row: Row,
  warmup: number,
  tools: Tools,
  log: (line: string) => void,
): Promise<Running> {
  const { peer, ready } = await startSide(side, row, tools);
  try {
    const startBytes = await peer.peakBytes();
    const { losses, logits, seconds } = await peer.steps(warmup);
    log(`${row.name}: ${side.name}: warm-up ${seconds.map(format).join(', ')}`);
    const { ready: program, instructionSet } = ready;
    return { side, peer, program, instructionSet, startBytes, seconds: [], losses, logits };
  } catch (error) {
    await peer.end();
    throw error;
  }
}

/** What a compiler has made of a network may be wrong; that is no reason not to time the others. */
async function dropUnlessAsEager(row: Row, running: Running[]): Promise<void> {
  const compiled = running.at(-1)!;
  const eager = running.find(({ side }) => side.kind === 'pytorch')!;
  try {
    verify(row, [eager, compiled]);
  } catch (error) {
    if (!(error instanceof Disagreement)) throw error;
    running.pop();
    await compiled.peer.end();
    throw new PeerFailure(error.message);
  }
}

/**
 * Before a turn, in milliseconds. Threads of onnxruntime go on looking for work after theirs, for up to
 * 40 ms of processor time: whoever follows at once needs twice as long for its first few inferences.
 */
const rest = 200;

/** Seconds a step. A side that has begun must not drop out: the others would be alone. */
async function turn(row: Row, { side, peer }: Running): Promise<number> {
  await wait(rest);
  try {
    const { seconds } = await peer.steps(row.steps);
    return seconds.reduce((sum, value) => sum + value, 0) / row.steps;
  } catch (error) {
    if (!(error instanceof PeerFailure)) throw error;
    throw new PeerFailure(`${row.name}: ${side.title} failed while it was timed: ${error.message}`);
  }
}

/** PyTorch first: the others are compared with it. */
function verify(row: Row, running: readonly Running[], where = ''): Agreement {
  const ordered = [
    ...running.filter(({ side }) => side.kind === 'pytorch'),
    ...running.filter(({ side }) => side.kind !== 'pytorch'),
  ];
  const computed = ordered.map(({ side, losses, logits }) => ({
    title: side.title,
    values: row.task === 'train' ? losses : logits,
  }));
  return compare(`${where}${row.task === 'train' ? 'loss' : 'logit'}`, row.precision, computed);
}

function format(seconds: number): string {
  return seconds < 1 ? `${(1000 * seconds).toFixed(1)} ms` : `${seconds.toFixed(2)} s`;
}
