/**
 * Both gradients of a convolution in front of a batch normalisation, and the normalisation's own, become
 * one node that goes through the batch part by part. What the normalisation hands back is made of a
 * part, and both passes load it from the cache in which it lies: a map of it never exists.
 */
import type { Capabilities } from '../../backend/backend.js';
import { byteLength, elementCount, type Graph, type Node, type Value } from '../../graph/graph.js';
import { evenShare, type ConvSizes } from '../algorithms.js';
import { convolutionSizes, gradientChoices } from '../convolutions.js';
import { slotAlignment } from '../plan.js';
import { nodeLike, Reading, replaceNodes } from './rewrite.js';

/**
 * Of fewer parts a map is left whole. Five of its seven passes over memory are left; on two cores of a Zen
 * 5, whose memory keeps up with seven, the three steps took 0.99 of the time with one thread and 1.03 with
 * two, which wait for each other after each part.
 */
const leastParts = 8;

export function joinConvGradients(graph: Graph, capabilities: Capabilities): Graph {
  const reading = new Reading(graph);
  const replacements = new Map<Node, readonly Node[]>();
  for (const norm of graph.nodes) {
    if (norm.op !== 'batchNormBackwardInput') continue;
    const [gradient] = norm.outputs as readonly [Value];
    const passes = passesOf(gradient, reading);
    if (!passes) continue;
    const { ofInput, ofWeight, sizes } = passes;
    const partImages = imagesOfPart(gradient, capabilities);
    const [x, , ...prologue] = ofWeight.inputs as readonly [Value, Value, ...Value[]];
    const [, weight] = ofInput.inputs as readonly [Value, Value];
    if (![x, gradient].every((map) => comesInParts(map, partImages))) continue;
    if (!computesParts(sizes, partImages, capabilities)) continue;
    const part = reading.newValue(partImages, ...gradient.shape.slice(1));
    const inputs = [x, weight, ...norm.inputs, ...prologue];
    const outputs = [...ofInput.outputs, ...ofWeight.outputs, part];
    const attributes = {
      ...{ ...ofInput.attributes, ...ofWeight.attributes },
      ...{ normInputs: norm.inputs.length - 1, partImages },
    };
    replacements.set(norm, [nodeLike(ofInput, 'conv2dBackward', inputs, outputs, attributes)]);
    replacements.set(ofInput, []);
    replacements.set(ofWeight, []);
  }
  return replaceNodes(graph, replacements);
}

/** The two passes that read a gradient, where nothing else does, and nothing is added to it. */
function passesOf(gradient: Value, reading: Reading) {
  const users = reading.uses(gradient).map(({ node }) => node);
  const ofInput = users.find(({ op }) => op === 'conv2dBackwardInput');
  const ofWeight = users.find(({ op }) => op === 'conv2dBackwardWeight');
  if (!ofInput || !ofWeight || users.length > 2 || reading.isKept(gradient)) return undefined;
  if (ofWeight.inputs[1] !== gradient || ofWeight.attributes.mean) return undefined;
  if (ofInput.inputs[0] !== gradient || ofInput.inputs.length > 2) return undefined;
  const [sizes, others] = [convolutionSizes(ofInput)!, convolutionSizes(ofWeight)!];
  const names = Object.keys(sizes) as (keyof ConvSizes)[];
  return names.every((name) => sizes[name] === others[name])
    ? { ofInput, ofWeight, sizes }
    : undefined;
}

/** Parts of about the same size, of `partNumbers` at most or of one image; all of them where they are few. */
function imagesOfPart({ shape }: Value, { partNumbers = Infinity }: Capabilities): number {
  const [N] = shape as [number];
  const numbers = elementCount(shape);
  if (numbers < leastParts * partNumbers) return N;
  return evenShare(N, Math.max(1, Math.floor((partNumbers * N) / numbers)));
}

/** Whether there are several parts, and each begins where a slot may, in float32 and in bfloat16. */
function comesInParts({ shape }: Value, partImages: number): boolean {
  const [N, ...image] = shape as [number, ...number[]];
  return partImages < N && (partImages * byteLength(image, 'bf16')) % slotAlignment === 0;
}

function computesParts(sizes: ConvSizes, partImages: number, capabilities: Capabilities): boolean {
  const offered = capabilities.fusions?.convGradients ?? [];
  const choices = gradientChoices(sizes, partImages, capabilities);
  return choices.every(({ algorithm }) => offered.includes(algorithm));
}
