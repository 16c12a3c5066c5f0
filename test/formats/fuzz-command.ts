/** A longer run than the test's: node dist/test/formats/fuzz-command.js [mutations] [seed] */
import { fuzz } from './fuzz.js';

const [mutations = 1_000_000, seed = Date.now() % 2 ** 31] = process.argv.slice(2).map(Number);
console.log(`${mutations} mutations of seed ${seed}`);
console.log(await fuzz({ mutations, seed }));
