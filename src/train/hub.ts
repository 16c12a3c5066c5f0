/**
 * Files of the Hugging Face hub, by the hub's own client: looked up, fetched once into the cache
 * folder, and told from damaged ones by the checksum that the hub keeps of each.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { PathInfo } from '@huggingface/hub';
import { cacheFolder } from '../backend/native/addon.js';
import { PlusxError } from '../errors.js';
import { writeFileAtomically } from '../formats/atomic-file.js';
import { download, type Checksum } from './download.js';
import { hubNameText, parseHubName, type HubName } from './hub-name.js';

export interface HubOptions {
  /** Default: `HF_ENDPOINT`, else https://huggingface.co. */
  readonly endpoint?: string | undefined;
  /** Default: `HF_TOKEN`. */
  readonly token?: string | undefined;
  /** Where files are kept. Default: `hub` in the cache folder (`PLUSX_CACHE`). */
  readonly cache?: string | undefined;
  /** Hears of what has come, in bytes. */
  readonly onProgress?: ((bytes: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface HubFile {
  /** Where it lies now. */
  readonly path: string;
  /** Its name with the commit that it is of. */
  readonly name: string;
}

/**
 * The file that `name` (`hf:<owner>/<repository>[@<revision>][/<file>]`) stands for, downloaded unless
 * the cache has it. What an interruption left is gone on with. Without the hub, the file of that name
 * that came last is taken. Throws PlusxError `hub-…`.
 */
export async function fetchFromHub(name: string, options: HubOptions = {}): Promise<HubFile> {
  const wanted = parseHubName(name);
  const {
    endpoint = process.env.HF_ENDPOINT || 'https://huggingface.co',
    token = process.env.HF_TOKEN || undefined,
    cache = path.join(cacheFolder(), 'hub'),
  } = options;
  if (token !== undefined && !token.startsWith('hf_')) {
    throw new PlusxError(
      'hub-token',
      'HF_TOKEN is no access token of the hub, which begin with hf_; correct it or unset it',
    );
  }
  const call = { hubUrl: endpoint.replace(/\/+$/, ''), ...(token ? { accessToken: token } : {}) };
  const known = new Known(cache, wanted);
  let found: Found;
  try {
    found = await lookUp(wanted, call);
  } catch (error) {
    const before = await known.read();
    const failure = explained(error, name, endpoint);
    if (before && failure.code === 'hub-unreachable') return before;
    throw failure;
  }
  const { commit, checksum, size } = found;
  const pinned = { ...wanted, revision: commit };
  const file = known.place(checksum);
  if (!existsSync(file)) {
    await mkdir(path.dirname(file), { recursive: true }).catch((error: unknown) => {
      throw new PlusxError(
        'not-writable',
        `${cache}: the cache folder cannot be made (${reasonOf(error)}); name another in PLUSX_CACHE`,
        { path: cache },
      );
    });
    const { downloadFile } = await import('@huggingface/hub');
    const { repository, file: inside } = wanted;
    try {
      await download({
        file,
        size,
        checksum,
        open: async (start, fetch) => {
          const source = { repo: repository, path: inside, revision: commit, fetch, ...call };
          const blob = await downloadFile({ ...source, xet: false });
          if (!blob) throw notFound(name, wanted, endpoint);
          return (start === 0 ? blob : blob.slice(start)).stream();
        },
        onProgress: options.onProgress,
        signal: options.signal,
      });
    } catch (error) {
      throw explained(error, name, endpoint);
    }
  }
  await known.write(hubNameText(pinned), checksum);
  return { path: file, name: hubNameText(pinned) };
}

/** What the cache remembers of a name: the file that it stood for last. */
class Known {
  private readonly folder: string;
  private readonly note: string;

  constructor(
    cache: string,
    private readonly name: HubName,
  ) {
    this.folder = path.join(cache, name.repository.replace('/', '--'));
    const plain = `${name.revision}--${name.file}`.replace(/[^\w.-]/g, '-');
    this.note = path.join(this.folder, `${plain}.json`);
  }

  /** Named by its content: another version lies beside it. */
  place({ value }: Checksum): string {
    return path.join(this.folder, value, path.posix.basename(this.name.file));
  }

  async write(name: string, checksum: Checksum): Promise<void> {
    const text = JSON.stringify({ name, checksum: checksum.value });
    await writeFileAtomically(this.note, [Buffer.from(`${text}\n`)]);
  }

  async read(): Promise<HubFile | null> {
    if (!existsSync(this.note)) return null;
    const { name, checksum } = JSON.parse(await readFile(this.note, 'utf8')) as {
      readonly name: string;
      readonly checksum: string;
    };
    const file = path.join(this.folder, checksum, path.posix.basename(this.name.file));
    return existsSync(file) ? { path: file, name } : null;
  }
}

interface Found {
  readonly commit: string;
  readonly size: number;
  readonly checksum: Checksum;
}

interface Call {
  readonly hubUrl: string;
  readonly accessToken?: string;
}

async function lookUp(wanted: HubName, call: Call): Promise<Found> {
  const { pathsInfo } = await import('@huggingface/hub');
  const { repository, revision, file } = wanted;
  const answers: readonly PathInfo[] = await pathsInfo({
    ...call,
    ...{ repo: repository, revision, paths: [file], expand: true },
  });
  const info = answers.find(({ path: found, type }) => found === file && type === 'file');
  if (!info) throw notFound(hubNameText(wanted), wanted, call.hubUrl);
  const { lfs, oid, size, lastCommit } = info;
  // Large files are kept by the SHA-256 of their content, small ones as git's objects.
  const checksum: Checksum = lfs
    ? { kind: 'sha256', value: lfs.oid }
    : { kind: 'git', value: oid ?? '' };
  const hexadecimal = /^[0-9a-f]{40,64}$/;
  if (!hexadecimal.test(checksum.value) || !Number.isSafeInteger(size)) {
    throw new PlusxError(
      'hub-answer',
      `${hubNameText(wanted)}: ${call.hubUrl} states no size and checksum of it; is HF_ENDPOINT a hub?`,
    );
  }
  return { commit: lastCommit?.id ?? revision, size: lfs?.size ?? size, checksum };
}

function notFound(name: string, { file, repository, revision }: HubName, endpoint: string) {
  return new PlusxError(
    'hub-not-found',
    `${name}: ${endpoint} has no ${file} in ${repository} at ${revision}; look at ` +
      `${endpoint}/${repository}/tree/${revision} for the files that it has`,
    { name },
  );
}

/** What went wrong between here and the hub, with the next step. */
function explained(error: unknown, name: string, endpoint: string): PlusxError {
  if (error instanceof PlusxError) return error;
  const status = statusOf(error);
  const { repository, file } = parseHubName(name);
  if (status === 401 || status === 403) {
    return new PlusxError(
      'hub-access',
      `${name}: ${endpoint} refuses it (${status}): there is no ${repository}, or it is private or ` +
        'gated; check the name, accept its terms there, and set HF_TOKEN to a token that may read it',
      { name, status },
    );
  }
  if (status === 404) return notFound(name, parseHubName(name), endpoint);
  if (status !== undefined) {
    return new PlusxError(
      'hub-answer',
      `${name}: ${endpoint} answers with status ${status}; try again later`,
      { name, status },
    );
  }
  return new PlusxError(
    'hub-unreachable',
    `${name}: ${endpoint} cannot be reached (${reasonOf(error)}); connect this machine, or download ` +
      `${file} elsewhere and name it: --weights ${path.posix.basename(file)}`,
    { name },
  );
}

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined;
  return typeof error.statusCode === 'number' ? error.statusCode : undefined;
}

/** fetch says "fetch failed" and hides the reason behind it. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return String(cause);
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message;
}
