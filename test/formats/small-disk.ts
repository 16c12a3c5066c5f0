/** Runs Node on a file system of a few megabytes, in a mount namespace that ends with it. */
import { spawnSync } from 'node:child_process';

const namespace = ['--mount', '--map-root-user'];

const mayMount =
  spawnSync('unshare', [...namespace, 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0;

/** Why a test must be skipped, or false. */
export const smallDisksMissing = mayMount
  ? false
  : 'a file system of a given size cannot be mounted here';

/** `folder` is the disk, empty, and gone afterwards. */
export function runOnSmallDisk(folder: string, megabytes: number, nodeArguments: string[]) {
  const mountAndRun = 'mount -t tmpfs -o "size=$1m" none "$2" && shift 2 && exec "$@"';
  return spawnSync(
    'unshare',
    [
      ...[...namespace, 'sh', '-c', mountAndRun, 'sh', String(megabytes), folder],
      ...[process.execPath, ...nodeArguments],
    ],
    { encoding: 'utf8' },
  );
}
