/** Files of the hub, from a server on this machine: fetched once, gone on with, checked, explained. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { after, before, beforeEach } from 'node:test';
import { Random } from '../../src/random/philox.js';
import { fetchFromHub, type HubOptions } from '../../src/train/hub.js';
import { parseHubName } from '../../src/train/hub-name.js';
import { runCli } from '../cli/run-cli.js';
import { commit, startHub, type Hub } from './hub-server.js';

const random = new Random(0, 'bench');
const weights = Buffer.from(Uint8Array.from({ length: 300_000 }, () => random.below(256)));
const config = Buffer.from('{"architecture":"resnet18"}\n');
const name = 'hf:owner/net';
const pinned = `hf:owner/net@${commit}/model.safetensors`;

let folder: string;
let hub: Hub;
let cache: string;
let runs = 0;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'plusx-hub-'));
  hub = await startHub({ 'model.safetensors': weights, 'sub/config.json': config });
});
beforeEach(() => {
  cache = path.join(folder, `cache-${runs++}`);
  for (const fault of Object.keys(hub.faults)) delete hub.faults[fault as keyof Hub['faults']];
  hub.requests.length = 0;
});
after(async () => {
  await hub.close();
  await rm(folder, { recursive: true, force: true });
});

const fetched = (wanted = name, options: HubOptions = {}) =>
  fetchFromHub(wanted, { endpoint: hub.endpoint, cache, ...options });

/** Whatever lies in the cache, by the last part of its path. */
async function cached(): Promise<string[]> {
  const all = await readdir(cache, { recursive: true, withFileTypes: true });
  return all.flatMap((entry) => (entry.isFile() ? [entry.name] : [])).sort();
}

test('a file is fetched once, under its checksum, and its name says the commit', async () => {
  const progress: number[] = [];
  const onProgress = (bytes: number) => progress.push(bytes);
  const found = await fetched(name, { onProgress, token: 'hf_secret' });
  assert.equal(found.name, pinned);
  assert.ok((await readFile(found.path)).equals(weights));
  assert.equal(progress.at(-1), weights.length);
  assert.equal(hub.token, 'Bearer hf_secret');
  hub.requests.length = 0;
  assert.deepEqual(await fetched(), found);
  assert.deepEqual(hub.requests, ['POST /api/models/owner/net/paths-info/main -']);
  assert.deepEqual(await cached(), ['main--model.safetensors.json', 'model.safetensors']);
});

test('another file and revision may be named; what git keeps is checked as git does', async () => {
  const found = await fetched('hf:owner/net@v2/sub/config.json');
  assert.ok((await readFile(found.path)).equals(config));
  assert.match(hub.requests[0]!, /paths-info\/v2/);
});

test('a download that broke off is gone on with where it ended', async () => {
  hub.faults.breakAfter = 100_000;
  await assert.rejects(fetched(), {
    code: 'hub-interrupted',
    message: /broke off after 100000 of 300000 bytes .*they are kept: run the command again/,
  });
  assert.deepEqual(await cached(), ['model.safetensors.partial']);
  hub.requests.length = 0;
  const { path: file } = await fetched();
  assert.ok((await readFile(file)).equals(weights));
  assert.ok(hub.requests.some((request) => request.endsWith('bytes=100000-299999')));
  assert.deepEqual(await cached(), ['main--model.safetensors.json', 'model.safetensors']);
});

test('a stranger’s bytes, before or now, do not get the file’s name', async () => {
  hub.faults.checksum = 'ab'.repeat(32);
  await assert.rejects(fetched(), {
    code: 'hub-checksum',
    message: /has the checksum [0-9a-f]{64}, the hub says abab.*thrown away: run the command again/,
  });
  assert.deepEqual(await cached(), []);
  hub.faults.checksum = undefined;
  hub.faults.breakAfter = 1000;
  await assert.rejects(fetched(), { code: 'hub-interrupted' });
  const [folderName] = await readdir(path.join(cache, 'owner--net'));
  const partial = path.join(cache, 'owner--net', folderName!, 'model.safetensors.partial');
  await writeFile(partial, Buffer.alloc(1000));
  await assert.rejects(fetched(), { code: 'hub-checksum' });
  assert.ok((await readFile((await fetched()).path)).equals(weights));
});

test('what the hub refuses or has not is told apart, with the next step', async () => {
  const refused = (code: string, message: RegExp, wanted = name) =>
    assert.rejects(fetched(wanted), { code, message });
  await refused(
    'hub-not-found',
    /has no other\.pth in owner\/net at main; look at/,
    `${name}/other.pth`,
  );
  hub.faults.status = 404;
  await refused('hub-not-found', /has no model\.safetensors in owner\/net at main/);
  hub.faults.status = 401;
  await refused('hub-access', /\(401\): there is no owner\/net, or it is private.*HF_TOKEN/);
  hub.faults.status = 503;
  await refused('hub-answer', /answers with status 503; try again later/);
  hub.faults.status = undefined;
  hub.faults.checksum = 'none';
  await refused('hub-answer', /states no size and checksum of it; is HF_ENDPOINT a hub\?/);
  hub.faults.checksum = undefined;
  hub.faults.noRanges = true;
  await refused('hub-answer', /answers with the whole file where bytes=0-0 was asked for/);
  await assert.rejects(fetched(name, { token: 'secret' }), { code: 'hub-token' });
  await writeFile(path.join(folder, 'file'), '');
  await assert.rejects(fetched(name, { cache: path.join(folder, 'file') }), {
    code: 'not-writable',
    message: /file: the cache folder cannot be made \(ENOTDIR\); name another in PLUSX_CACHE/,
  });
});

test('without the hub, what came before is taken; what never came is a clear error', async () => {
  const found = await fetched();
  const nowhere = { endpoint: 'http://127.0.0.1:9' };
  assert.deepEqual(await fetched(name, nowhere), found);
  await assert.rejects(fetched(`${name}@v3`, nowhere), {
    code: 'hub-unreachable',
    message:
      /127\.0\.0\.1:9 cannot be reached \(.+\); connect this machine, or download model\.saf/,
  });
});

test('names are read as they are written, and nothing leads out of the cache', () => {
  assert.deepEqual(parseHubName('hf:timm/resnet18.a1_in1k'), {
    ...{ repository: 'timm/resnet18.a1_in1k', revision: 'main', file: 'model.safetensors' },
  });
  for (const bad of ['hf:timm', 'hf:a/b/../c', 'hf:../b', 'hf:a/b@', 'hf:a/b//c', 'hf:a/b/c\\d']) {
    assert.throws(() => parseHubName(bad), { code: 'hub-name', message: /hf:timm\/resnet18/ });
  }
});

test('the command line ends with 2 and the next step where there is no network', async () => {
  const args = ['train', folder, '--weights', 'hf:timm/resnet18.a1_in1k'];
  const environment = { HF_ENDPOINT: 'http://127.0.0.1:9', PLUSX_CACHE: cache };
  const { code, stderr } = await runCli(args, { env: environment });
  assert.equal(code, 2);
  assert.match(stderr, /hf:timm\/resnet18\.a1_in1k: http:\/\/127\.0\.0\.1:9 cannot be reached/);
  assert.match(stderr, /--weights model\.safetensors/);
});
