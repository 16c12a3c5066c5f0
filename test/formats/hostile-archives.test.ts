/** Zip archives that were made to do harm, or that PyTorch did not write. */
import { describe, test } from 'node:test';
import { pickle, torchZip, zipFile } from './pickle-writer.js';
import { numbers, refused, state } from './refused.js';

describe('archives', () => {
  const data = pickle(state());
  const good = { name: 'archive/data.pkl', data };
  const storage = { name: 'archive/data/0', data: numbers };
  const malformed: [string, Uint8Array, RegExp][] = [
    ['a name that climbs', zipFile([good, { name: 'a/../../etc/passwd', data }]), /leads out/],
    [
      'an absolute name',
      zipFile([good, { name: '/etc/passwd', data }]),
      /"\/etc\/passwd" leads out/,
    ],
    ['a drive', zipFile([good, { name: 'C:/x', data }]), /leads out/],
    ['backslashes', zipFile([good, { name: 'a\\..\\b', data }]), /leads out/],
    ['the same name twice', zipFile([good, good]), /has "archive\/data\.pkl" twice/],
    [
      'a compressed pickle: a zip bomb',
      zipFile([{ ...good, says: { method: 8, size: 2 ** 27, stored: data.length } }]),
      /is compressed \(\d+ bytes for 134217728\)/,
    ],
    ['an encrypted pickle', zipFile([{ ...good, says: { flags: 1 } }]), /is encrypted/],
    [
      'entries that overlap: a zip bomb of the other kind',
      zipFile([good, { ...storage, says: { headerAt: 5 } }]),
      /"archive\/data\.pkl" and "archive\/data\/0" overlap/,
    ],
    [
      'an entry that reaches into the directory',
      zipFile([good, { ...storage, says: { size: 2 ** 30 } }]),
      /"archive\/data\/0" and its directory overlap/,
    ],
    [
      'another name at its place',
      zipFile(
        [{ ...good, says: { name: 'archive/data.pkk' } }, good]
          .slice(0, 1)
          .concat({ name: 'archive/data.pkx', data, says: { name: 'archive/data.pkl' } }),
      ),
      /another name/,
    ],
    [
      'more entries than its directory has',
      zipFile([good], { end: { entries: 500 } }),
      /500 entries/,
    ],
    ['a directory beyond the end', zipFile([good], { end: { at: 2 ** 31 } }), /beyond its end/],
    [
      'a zip64 directory of 2^52 entries',
      zipFile([good], { zip64: true, end: { entries: 2 ** 52 } }),
      /announces 4503599627370496 entries/,
    ],
    [
      'a zip64 entry of 2^52 bytes',
      zipFile([{ ...good, says: { size: 2 ** 52 } }], { zip64: true }),
      /overlap/,
    ],
  ];
  for (const [what, bytes, message] of malformed) {
    test(what, () => refused(bytes, 'checkpoint-malformed', message));
  }

  test('an archive that PyTorch did not write', async () => {
    await refused(
      zipFile([{ name: 'word/document.xml', data }]),
      'checkpoint-format',
      /no data\.pkl/,
    );
    const two = zipFile([good, { ...good, name: 'b/data.pkl' }]);
    await refused(two, 'checkpoint-format', /more than one data\.pkl/);
  });

  test('a byte order that is none', async () => {
    const order = { name: 'archive/byteorder', data: Buffer.from('middle') };
    const bytes = torchZip(state(), { 0: numbers }, [order]);
    await refused(bytes, 'checkpoint-malformed', /byte order is "middle"/);
  });
});
