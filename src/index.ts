/** The public API of plusx. Re-exports only. */

// Authoring
export { Module } from './nn/module.js';
export { Parameter, type ParameterOptions } from './nn/parameter.js';
export { Tensor } from './nn/tensor.js';
export { heNormal, ones, pytorchDefault, zeros, type Initialiser } from './nn/init.js';
export {
  batchNorm2d,
  BatchNorm2d,
  conv2d,
  Conv2d,
  dropout,
  Dropout,
  linear,
  Linear,
  sequential,
  Sequential,
  type BatchNorm2dOptions,
  type Conv2dOptions,
  type Layer,
} from './nn/layers.js';
export {
  adaptiveAvgPool2d,
  avgPool2d,
  crossEntropy,
  flatten,
  globalAvgPool2d,
  identityShortcut,
  maxPool2d,
  relu,
  scaleChannels,
  sigmoid,
  type AvgPool2dOptions,
  type DropoutOptions,
  type IdentityShortcutOptions,
  type Pool2dOptions,
} from './nn/functional.js';

// Models
export {
  Backbone,
  features,
  type Stage,
  type StageName,
  type StageOutput,
} from './models/backbone.js';
export { BasicBlock, Bottleneck, SqueezeExcitation, type BlockStyle } from './models/blocks.js';
export {
  ResNet,
  resnet101,
  resnet152,
  resnet18,
  resnet34,
  resnet50,
  resnext50,
  stems,
  variants,
  wideResnet50,
  type ResNetOptions,
  type Stem,
  type Variant,
} from './models/resnet.js';
export {
  CifarResNet,
  cifarShortcuts,
  resnet110,
  resnet20,
  resnet32,
  resnet44,
  resnet56,
  type CifarResNetOptions,
  type CifarShortcut,
} from './models/cifar-resnet.js';
export {
  plain18,
  plain20,
  plain32,
  plain34,
  plain44,
  plain56,
  PlainBlock,
  type CifarPlainOptions,
  type PlainOptions,
} from './models/plain.js';
export { AlexNet, alexnet, type AlexNetOptions } from './models/alexnet.js';
export {
  Vgg,
  vgg11,
  vgg11bn,
  vgg13,
  vgg13bn,
  vgg16,
  vgg16bn,
  vgg19,
  vgg19bn,
  type VggOptions,
} from './models/vgg.js';
export { createModel, modelDefaults, modelNames, type ModelOptions } from './models/registry.js';
export { networkOptionsOf, networkText, type NetworkOptions } from './models/options.js';
export { summarize, type LayerSummary, type ModelSummary } from './models/summary.js';

// Data
export {
  CenterCrop,
  Compose,
  imagenet,
  Normalize,
  Resize,
  standardPreprocessing,
  toFloat,
  ToTensor,
  type Normalization,
  type Preprocessing,
} from './data/transforms.js';
export {
  decodeBytes,
  decodeFile,
  type DecodeOptions,
  type ExifPolicy,
  type Pixels,
} from './data/decode.js';
export { centerCrop, resizeBilinear, resizeShorterSide } from './data/resize.js';
export {
  ImageFolder,
  openDataset,
  openLabelled,
  type Dataset,
  type DatasetOptions,
} from './data/image-folder.js';
export type { LabelledImages, LabelledSplit, Sample } from './data/labelled-images.js';
export { Cifar10, openCifar10, openCifar10Test } from './data/cifar10.js';
export { checkImages, type BadImage, type Checked, type CheckOptions } from './data/doctor.js';
export {
  DataLoader,
  type ImageBatch,
  type ImageSource,
  type LoaderOptions,
} from './data/loader.js';
export { demoRecipe, drawDemoDataset, type DemoDataset, type DemoOptions } from './demo/draw.js';

// Training
export { adamW, sgd, type AdamW, type Optimizer, type Sgd } from './train/optimizers.js';
export {
  Session,
  type Batch,
  type Forecast,
  type ProcessForecast,
  type SessionOptions,
  type StepResult,
} from './train/session.js';
export type { StateDict, StateTensor } from './train/state-dict.js';
export { addBatch, meanLoss, noImages, top1, type RunningSums } from './train/metrics.js';
export { train } from './train/trainer.js';
export type * from './train/train-options.js';
export { fetchFromHub, type HubFile, type HubOptions } from './train/hub.js';
export { freezeChoices, type Freeze } from './train/fine-tuning.js';
export {
  evaluate,
  predict,
  type DeviceOptions,
  type EvaluateOptions,
  type Evaluation,
  type Prediction,
} from './train/evaluate.js';
export { Classifier } from './train/classifier.js';
export { benchStep, type BenchStepOptions, type StepTiming } from './train/bench-step.js';
export { planStep, profileStep, type StepProfile } from './train/profile-step.js';
export type { ProfiledStep, StepFigures, StepGroup } from './train/profile.js';
export {
  loadCheckpoint,
  loadWeights,
  saveCheckpoint,
  saveWeights,
  type Checkpoint,
} from './train/checkpoint.js';
export {
  exportCheckpoint,
  exportFormats,
  type ExportFormat,
  type ExportOptions,
  type ExportResult,
} from './train/export-checkpoint.js';
export {
  exportOnnx,
  type ExportOnnxOptions,
  type OnnxOptions,
  type OnnxSummary,
} from './train/export-onnx.js';
export { exportPth, exportSafetensors, type ExportWeightsOptions } from './train/export-weights.js';

export { importWeights, type ImportOptions, type ImportReport } from './train/import-weights.js';
export {
  expectMatch,
  matchWeights,
  type ShapeMismatch,
  type WeightMatch,
} from './train/match-weights.js';
export {
  readWeights,
  type WeightFormat,
  type WeightOptions,
  type Weights,
} from './formats/weights.js';
export { inspectWeights, type FileReport, type TensorReport } from './formats/inspect.js';

// Engines
export {
  instructionSets,
  listDevices,
  openBackend,
  type DeviceChoice,
  type DeviceReport,
  type InstructionSet,
  type OpenOptions,
} from './backend/devices.js';
export type { Backend, DeviceName, Executable, Peaks } from './backend/backend.js';
export type { Plan, Slot, Step } from './plan/plan.js';
export { printPlan } from './plan/print.js';
export { precisions, type Precision } from './plan/precision.js';
export { cacheFolder } from './backend/native/addon.js';
export { buildNative, type BuildOptions, type BuildResult } from './backend/native/index.js';

export { bytesText, PlusxError } from './errors.js';
