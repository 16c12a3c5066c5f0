/**
 * What a user can cause, as opposed to `internal:` assertions for what only we can.
 *
 * The message names the thing, both values and the next step; the command line prints it without a
 * stack trace and exits with 2.
 */
export class PlusxError extends Error {
  override readonly name: string = 'PlusxError';

  constructor(
    /** Stable, for programs: `folder-missing`, `checkpoint-truncated`. */
    readonly code: string,
    message: string,
    /** The values behind the message, for programs. */
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }
}

/** Bytes as people say them: `1.93 GB`, `640 MB`. */
export function bytesText(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(0)} MB` : `${(bytes / 1e3).toFixed(0)} kB`;
}
