/**
 * What the benchmark and its processes say to each other: a job as an argument, then a JSON object
 * a line, requests on stdin and answers on stdout. peer.py speaks it too.
 */
import { z } from 'zod';

export const jobSchema = z.object({
  task: z.enum(['train', 'infer']),
  stem: z.enum(['conv3x3', 'conv7x7']),
  classes: z.int(),
  imageSize: z.int(),
  batchSize: z.int(),
  threads: z.int(),
  /** Of SGD. */
  lr: z.number(),
  precision: z.enum(['fp32', 'bf16']),
  /** A safetensors file with torchvision's keys. */
  weights: z.string(),
  /** Bytes, (N, S, S, 3), N at least the batch size; the label of image i is i mod 2. */
  images: z.string(),
  /** Of plusx. */
  device: z.enum(['native', 'wasm']).optional(),
  instructionSet: z
    .enum(['avx512-bf16', 'avx512', 'avx2', 'x86-64-v2', 'neon', 'generic'])
    .optional(),
  /** Of PyTorch. */
  layout: z.enum(['contiguous', 'channels_last']).optional(),
  compile: z.boolean().optional(),
  /** Of onnxruntime: the package's name, the folder it is installed in, the exported model. */
  runtime: z.enum(['onnxruntime-node', 'onnxruntime-web']).optional(),
  folder: z.string().optional(),
  model: z.string().optional(),
});

export type Job = z.infer<typeof jobSchema>;

export const requestSchema = z.union([
  z.object({ steps: z.int() }),
  z.object({ memory: z.literal(true) }),
]);

export type Request = z.infer<typeof requestSchema>;

/** The first line of a process, once it is ready to work. */
export const readySchema = z.object({
  /** Name and version: `PyTorch 2.15.0`. */
  ready: z.string(),
  instructionSet: z.string(),
});

export type Ready = z.infer<typeof readySchema>;

/** JSON has no NaN and no infinity: they come as null. */
const computed = z
  .number()
  .nullable()
  .transform((value) => value ?? NaN);

export const turnSchema = z.object({
  /** Of each step. */
  seconds: z.array(z.number()),
  /** Of each training step, before its update; empty in inference. */
  losses: z.array(computed),
  /** Of the last forward pass, (N, classes); empty in training. */
  logits: z.array(computed),
});

export type Turn = z.infer<typeof turnSchema>;

export const memorySchema = z.object({ peakBytes: z.number() });

export const failureSchema = z.object({ failed: z.string() });
