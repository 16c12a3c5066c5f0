/** Names of files on the Hugging Face hub: `hf:<owner>/<repository>[@<revision>][/<file>]`. */
import { PlusxError } from '../errors.js';

export interface HubName {
  /** `timm/resnet18.a1_in1k` */
  readonly repository: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  /** Path inside the repository. */
  readonly file: string;
}

export const hubPrefix = 'hf:';

const pattern = /^hf:([\w.-]+\/[\w.-]+)(?:@([\w.-]+))?(?:\/(.+))?$/;

/** Defaults: the revision `main`, the file `model.safetensors`. Throws `hub-name` where it is none. */
export function parseHubName(name: string): HubName {
  const [, repository, revision = 'main', file = 'model.safetensors'] = pattern.exec(name) ?? [];
  const parts = [...(repository ?? '..').split('/'), ...file.split('/')];
  if (repository !== undefined && !parts.some((part) => ['', '.', '..'].includes(part))) {
    if (!/[\\\0]/.test(file)) return { repository, revision, file };
  }
  throw new PlusxError(
    'hub-name',
    `${name} is no file on the hub; write hf:<owner>/<repository>, as hf:timm/resnet18.a1_in1k, ` +
      'and where they are not main and model.safetensors, @<revision> and /<file> behind it',
    { name },
  );
}

export function hubNameText({ repository, revision, file }: HubName): string {
  return `${hubPrefix}${repository}@${revision}/${file}`;
}
