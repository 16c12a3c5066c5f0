/** Holds docs/architecture.md true: the drawing of the rooms, the quoted lines, the figures. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { kernelCapabilities } from '../../src/backend/program.js';
import { imagenet } from '../../src/data/transforms.js';
import { byteLength } from '../../src/graph/graph.js';
import { printGraph } from '../../src/graph/print.js';
import { resnet18 } from '../../src/models/resnet.js';
import { compilePlan } from '../../src/plan/compile.js';
import { printPlan } from '../../src/plan/print.js';
import { sgd } from '../../src/train/optimizers.js';
import { trainingGraph } from '../../src/train/training-graph.js';
import { codeBlocks, readDocument } from '../docs/documents.js';
import { imports, room } from './imports.js';

const page = readDocument('docs/architecture.md');

/** The arrows of the drawing below a heading: `a -> b`, and `a -.-> b` where they are dotted. */
function drawnArrows(heading: string): string[] {
  const [drawing] = codeBlocks(page.slice(page.indexOf(`\n## ${heading}\n`)));
  assert.equal(drawing?.language, 'mermaid');
  return drawing.text.split('\n').flatMap((line) => {
    const arrow = /^ +([\w &]+?) (-->|-\.->) ([\w &]+)$/.exec(line);
    if (!arrow) return [];
    const [, from, line_, to] = arrow;
    const joint = line_ === '-->' ? '->' : '-.->';
    return from!.split(' & ').flatMap((a) => to!.split(' & ').map((b) => `${a} ${joint} ${b}`));
  });
}

describe('the drawing of the rooms', () => {
  test('has an arrow for every import between rooms, and no other', () => {
    const carriesValues = new Map<string, boolean>();
    for (const { from, to, typeOnly } of imports) {
      const [a, b] = [room(from), room(to)];
      if (a === '' || b === '' || a === b) continue;
      const arrow = `${a} -> ${b}`;
      carriesValues.set(arrow, (carriesValues.get(arrow) ?? false) || !typeOnly);
    }
    const drawn = drawnArrows('Rooms and arrows');
    const undotted = drawn.map((arrow) => arrow.replace('-.->', '->'));
    assert.deepEqual(undotted.sort(), [...carriesValues.keys()].sort());
    for (const arrow of drawn.filter((each) => each.includes('-.->'))) {
      const name = arrow.replace('-.->', '->');
      assert.equal(carriesValues.get(name), false, `${name} carries more than types`);
    }
  });

  test('names each room in the table below it', () => {
    const rooms = new Set(imports.map(({ from }) => room(from)).filter((name) => name !== ''));
    for (const name of rooms) assert.ok(page.includes(`\n| [${name}](../src/${name}) |`), name);
  });
});

describe('the step that is followed through', () => {
  const graph = trainingGraph(resnet18({ classes: 2, stem: 'conv3x3' }), {
    batchSize: 8,
    imageSize: 64,
    normalization: imagenet,
    optimizer: sgd({ lr: 0.01 }),
  });
  const plan = compilePlan(graph, kernelCapabilities);

  test('is quoted as the program prints it', () => {
    const printed = new Set((printGraph(graph) + printPlan(plan)).split('\n'));
    const quoted = codeBlocks(page)
      .filter(({ language }) => language === 'text')
      .flatMap(({ text }) => text.trimEnd().split('\n'));
    assert.ok(quoted.length > 5);
    assert.deepEqual(
      quoted.filter((line) => !printed.has(line)),
      [],
    );
  });

  test('takes the memory that the page says', () => {
    const outputs = graph.nodes.flatMap((node) => node.outputs);
    const apart = outputs.reduce((sum, { shape, dtype }) => sum + byteLength(shape, dtype), 0);
    const [all, arena, state] = [apart, plan.arenaBytes, plan.state.bytes].map((bytes) =>
      Math.round(bytes / 1e6),
    );
    const sentence =
      `the outputs of all nodes together are ${all} MB. The arena is ${arena} MB, and ${state} of ` +
      'them are the weights.';
    assert.ok(page.replace(/\s+/g, ' ').includes(sentence), sentence);
  });
});
