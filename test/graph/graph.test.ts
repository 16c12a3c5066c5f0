import assert from 'node:assert/strict';
import test from 'node:test';
import { GraphBuilder } from '../../src/graph/builder.js';
import type { Graph, Node } from '../../src/graph/graph.js';
import { printGraph } from '../../src/graph/print.js';
import { verify } from '../../src/graph/verify.js';
import { emitInto } from '../../src/ops/emit.js';
import { ruleOf } from '../../src/ops/table.js';

const infer = (node: Node) => ruleOf(node.op).infer(node.inputs, node.attributes as never);

function smallGraph(): Graph {
  const builder = new GraphBuilder();
  const emit = emitInto(builder, () => 'layer1.0.conv1');
  const x = builder.input('x', { shape: [1, 5, 7, 3], dtype: 'f32' });
  const weight = builder.state('weight', { shape: [4, 3, 3, 3], dtype: 'f32' });
  const [y] = emit('conv2d', [x, weight], { stride: 2, padding: 1 });
  builder.output('y', emit('relu', [y!], {})[0]!);
  return builder.build();
}

test('a graph prints one definition a line, with types and module paths', () => {
  assert.equal(
    printGraph(smallGraph()),
    [
      '%0: f32[1,5,7,3] = input x',
      '%1: f32[4,3,3,3] = state weight',
      '%2: f32[1,3,4,4] = conv2d(%0, %1) {stride 2, padding 1}  // layer1.0.conv1',
      '%3: f32[1,3,4,4] = relu(%2)  // layer1.0.conv1',
      'output y = %3',
      '',
    ].join('\n'),
  );
});

test('a graph built by the rules is legal', () => {
  assert.deepEqual(verify(smallGraph(), infer), []);
});

test('a use before its definition is found', () => {
  const graph = smallGraph();
  const broken = { ...graph, nodes: [...graph.nodes].reverse() };
  assert.match(verify(broken, infer).join('\n'), /relu at layer1\.0\.conv1 uses %2 before/);
});

test('an output whose type contradicts the rule is found', () => {
  const graph = smallGraph();
  const [conv, relu] = graph.nodes;
  const wrong = { ...conv!, attributes: { stride: 1, padding: 1 } };
  const problems = verify({ ...graph, nodes: [wrong, relu!] }, infer);
  assert.match(problems.join('\n'), /output 0 is f32\[1,3,4,4\], its rule says f32\[1,5,7,4\]/);
});

test('an update that changes the shape of its state is found', () => {
  const graph = smallGraph();
  const updates = new Map([['weight', graph.nodes[1]!.outputs[0]!]]);
  assert.match(verify({ ...graph, updates }, infer).join('\n'), /update weight changes the shape/);
});

test('a name is given once', () => {
  const builder = new GraphBuilder();
  builder.input('x', { shape: [1], dtype: 'f32' });
  assert.throws(() => builder.input('x', { shape: [1], dtype: 'f32' }), /input x is defined twice/);
});
