/**
 * Cats and dogs told apart by a ResNet-18 written from scratch: a PyTorch tutorial's script in
 * TypeScript, line for line. Its peer with PyTorch is bench/pytorch/article.py.
 *
 *     npx plusx demo           (draws demo-data, where you have no photographs)
 *     node dist/examples/dogs-vs-cats.js demo-data --test val --image-size 64
 */
import { realpathSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  addBatch,
  batchNorm2d,
  CenterCrop,
  Compose,
  conv2d,
  crossEntropy,
  DataLoader,
  flatten,
  globalAvgPool2d,
  ImageFolder,
  linear,
  meanLoss,
  Module,
  noImages,
  Normalize,
  openBackend,
  openLabelled,
  relu,
  Resize,
  saveWeights,
  sequential,
  Session,
  sgd,
  top1,
  ToTensor,
  type RunningSums,
  type Sequential,
  type Tensor,
} from 'plusx';
import { readArguments } from './arguments.js';
import { progress } from './progress.js';

export class ResidualBlock extends Module {
  static readonly expansion = 1;
  readonly conv1;
  readonly bn1;
  readonly conv2;
  readonly bn2;
  readonly downsample: Sequential | undefined;

  constructor(inChannels: number, outChannels: number, stride = 1) {
    super();
    const conv3x3 = { kernelSize: 3, padding: 1, bias: false };
    this.conv1 = conv2d(inChannels, outChannels, { ...conv3x3, stride });
    this.bn1 = batchNorm2d(outChannels);
    this.conv2 = conv2d(outChannels, outChannels, conv3x3);
    this.bn2 = batchNorm2d(outChannels);
    if (stride !== 1 || inChannels !== ResidualBlock.expansion * outChannels) {
      this.downsample = sequential(
        conv2d(inChannels, outChannels, { kernelSize: 1, stride, bias: false }),
        batchNorm2d(outChannels),
      );
    }
  }

  override forward(x: Tensor): Tensor {
    let out = relu(this.bn1(this.conv1(x)));
    out = this.bn2(this.conv2(out));
    const skip = this.downsample ? this.downsample(x) : x;
    return relu(out.add(skip)); // H(x) = F(x) + x
  }
}

export class Model extends Module {
  readonly conv1;
  readonly bn1;
  readonly layer1;
  readonly layer2;
  readonly layer3;
  readonly layer4;
  readonly fc;
  private inChannels = 64;

  constructor(numClasses = 2) {
    super();
    this.conv1 = conv2d(3, 64, { kernelSize: 3, stride: 1, padding: 1, bias: false });
    this.bn1 = batchNorm2d(64);
    this.layer1 = this.makeLayer(64, 2, 1);
    this.layer2 = this.makeLayer(128, 2, 2);
    this.layer3 = this.makeLayer(256, 2, 2);
    this.layer4 = this.makeLayer(512, 2, 2);
    this.fc = linear(512 * ResidualBlock.expansion, numClasses);
  }

  private makeLayer(outChannels: number, blocks: number, stride: number): Sequential {
    const layers: ResidualBlock[] = [];
    for (let i = 0; i < blocks; i++) {
      layers.push(new ResidualBlock(this.inChannels, outChannels, i === 0 ? stride : 1));
      this.inChannels = outChannels * ResidualBlock.expansion;
    }
    return sequential(...layers);
  }

  override forward(x: Tensor): Tensor {
    let out = relu(this.bn1(this.conv1(x)));
    out = this.layer4(this.layer3(this.layer2(this.layer1(out))));
    out = flatten(globalAvgPool2d(out));
    return this.fc(out);
  }
}

async function main(args: readonly string[]): Promise<void> {
  const options = readArguments(args);
  const { epochs, batchSize, imageSize, checkpointEvery, maxSteps } = options;

  const transform = new Compose([
    new Resize(Math.round((256 * imageSize) / 224)), // 256 where the crop is 224
    new CenterCrop(imageSize),
    new ToTensor(),
    new Normalize({ mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }),
  ]);
  const trainSet = new ImageFolder(path.join(options.folder, 'train'), transform);
  const testFolder = path.join(options.folder, options.test);
  const testSet = openLabelled(testFolder, transform, trainSet.classes);
  const trainLoader = new DataLoader(trainSet, { batchSize, shuffle: true });
  const testLoader = new DataLoader(testSet, { batchSize: Math.min(batchSize, testSet.length) });

  await mkdir(options.out, { recursive: true });

  const device = await openBackend({ onNotice: (line) => console.error(line) });
  const model = new Model(trainSet.classes.length);
  const criterion = crossEntropy;
  const optimizer = sgd({ lr: 0.01 });
  const session = await Session.create(model, device, {
    transform,
    batchSize,
    loss: criterion,
    optimizer,
  });
  console.log(`${model.parameterCount()} parameters, on ${device.description}`);

  let steps = 0;
  const save = async (name: string) => {
    const file = path.join(options.out, name);
    await saveWeights(file, await session.exportState(), { steps: String(steps) });
  };
  for (let epoch = 1; epoch <= epochs && steps < maxSteps; epoch++) {
    let seen = noImages;
    const bar = progress(`epoch ${epoch}/${epochs}`, trainLoader, () => describe(seen));
    for await (const { images, labels } of bar) {
      // Forward, loss, backward and the optimizer's step: one compiled plan.
      const { logits } = await session.step({ images, labels });
      seen = addBatch(seen, logits, labels);
      if (++steps % checkpointEvery === 0) await save('checkpoint.safetensors');
      if (steps === maxSteps) break;
    }
    console.log(`epoch ${epoch}/${epochs}: ${describe(seen)}`);
  }
  await save('model.safetensors');

  let seen = noImages;
  for await (const { images, labels } of progress('testing', testLoader, () => describe(seen))) {
    const logits = await session.logits(images); // running statistics, no gradients
    seen = addBatch(seen, logits, labels);
  }
  console.log(`test: ${describe(seen)}, ${seen.images} images`);
  await device.dispose();
}

function describe(seen: RunningSums): string {
  return `loss ${meanLoss(seen).toFixed(4)}, accuracy ${(100 * top1(seen)).toFixed(2)} %`;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    // What has a code is for the user to mend: plusx's own errors, and the file system's.
    if (!(error instanceof Error && 'code' in error)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
