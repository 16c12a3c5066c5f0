/**
 * Fusion: what passes over memory on its own becomes part of what reads or writes that memory
 * anyway. Each pass maps a graph to a graph that computes the same; the order matters.
 *
 * Of a residual block at training, the affine map and relu between its convolutions vanish into
 * the second one, the statistics into the stores of both, the addition and last relu become one pass.
 * In evaluation all of it vanishes into the two convolutions.
 */
import type { Capabilities } from '../../backend/backend.js';
import type { Graph } from '../../graph/graph.js';
import { splitBatchNorm } from './batch-norm.js';
import { joinConvGradients } from './conv-gradients.js';
import {
  joinGradients,
  joinNormalization,
  joinNormGradients,
  joinPrologues,
  joinStatistics,
} from './convolution.js';
import { foldAffineMaps, joinInferenceRelu, joinResiduals } from './inference.js';
import { joinBackwardSums, joinGradientSums, joinRelu, recomputeMasks } from './relu.js';

type Pass = (graph: Graph, capabilities: Capabilities) => Graph;

const passes: readonly Pass[] = [
  ...[foldAffineMaps, joinResiduals, joinInferenceRelu],
  ...[joinRelu, recomputeMasks, joinGradients, joinGradientSums],
  ...[joinBackwardSums, joinNormGradients],
  ...[joinPrologues, joinStatistics, joinNormalization, joinConvGradients],
];

/** Takes batch normalisation apart and, where the backend says that it pays, joins the parts. */
export function fuse(graph: Graph, capabilities: Capabilities): Graph {
  const split = splitBatchNorm(graph);
  if (!capabilities.fusions) return split;
  return passes.reduce((fused, pass) => pass(fused, capabilities), split);
}
