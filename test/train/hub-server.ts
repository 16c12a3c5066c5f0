/** A server that answers as the Hugging Face hub does, with the faults that a test asks for. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const commit = '0123456789abcdef0123456789abcdef01234567';

export interface Faults {
  /** Ends the connection after so many bytes of the file, once. */
  breakAfter?: number | undefined;
  /** Status for every request. */
  status?: number | undefined;
  /** What is told as the checksum of the file. */
  checksum?: string | undefined;
  /** Sends the whole file whatever range is asked for. */
  noRanges?: boolean;
}

export interface Hub {
  readonly endpoint: string;
  readonly faults: Faults;
  /** Method, path and range of each request, in order. */
  readonly requests: string[];
  /** The token that came last. */
  token: string | undefined;
  close(): Promise<void>;
}

/** Serves `files` of the repository `owner/net`; small ones as git keeps them, `.safetensors` by LFS. */
export async function startHub(files: Readonly<Record<string, Buffer>>): Promise<Hub> {
  const server = createServer((request, response) => void answer(request, response));
  const hub: Omit<Hub, 'endpoint'> = {
    faults: {},
    requests: [],
    token: undefined,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request;
    hub.requests.push(`${method} ${url} ${headers.range ?? '-'}`);
    hub.token = headers.authorization;
    response.shouldKeepAlive = false;
    const { status } = hub.faults;
    if (status !== undefined) return end(response, status, { error: 'no' });
    const body: Buffer[] = [];
    for await (const piece of request) body.push(piece as Buffer);
    if (method === 'POST' && /^\/api\/models\/owner\/net\/paths-info\/\w+$/.test(url)) {
      const { paths } = JSON.parse(Buffer.concat(body).toString()) as { paths: string[] };
      return end(
        response,
        200,
        paths.flatMap((name) => describe(name)),
      );
    }
    const [, name] = /^\/owner\/net\/resolve\/\w+\/(.+)$/.exec(url) ?? [];
    const file = name === undefined ? undefined : files[name];
    if (!file) return end(response, 404, { error: 'Repository not found' });
    send(response, file, headers.range);
  }

  function describe(name: string): object[] {
    const file = files[name];
    if (!file) return [];
    const lastCommit = { id: commit, title: 'add weights', date: '2024-01-01T00:00:00.000Z' };
    const common = { type: 'file', path: name, size: file.length, lastCommit };
    const git = createHash('sha1').update(`blob ${file.length}\0`).update(file).digest('hex');
    if (!name.endsWith('.safetensors')) return [{ ...common, oid: git }];
    const oid = hub.faults.checksum ?? createHash('sha256').update(file).digest('hex');
    return [{ ...common, oid: git, lfs: { oid, size: file.length, pointerSize: 134 } }];
  }

  function send(response: ServerResponse, file: Buffer, range: string | undefined): void {
    const [, first = '0', last = String(file.length - 1)] =
      /^bytes=(\d+)-(\d+)$/.exec((!hub.faults.noRanges && range) || '') ?? [];
    const part = file.subarray(Number(first), Number(last) + 1);
    const partial = range !== undefined && !hub.faults.noRanges;
    response.writeHead(partial ? 206 : 200, {
      etag: '"etag"',
      'content-length': part.length,
      ...(partial ? { 'content-range': `bytes ${first}-${last}/${file.length}` } : {}),
    });
    const { breakAfter } = hub.faults;
    if (breakAfter === undefined || part.length <= 1) {
      response.end(part);
      return;
    }
    hub.faults.breakAfter = undefined;
    response.write(part.subarray(0, breakAfter), () => setTimeout(() => response.destroy(), 50));
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(hub, { endpoint: addressOf(server) });
}

function end(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

const addressOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
