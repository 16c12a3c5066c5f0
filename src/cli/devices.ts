/** `plusx devices`: the engines of this machine. */
import { Command } from 'commander';
import { listDevices } from '../backend/devices.js';
import { jsonOption } from './options.js';
import { Output, table } from './output.js';

export const devicesCommand = () =>
  new Command('devices')
    .description('list the engines that this machine has')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ plusx devices\n  $ plusx devices --json\n')
    .action(async ({ json = false }: { json?: boolean }) => {
      const output = new Output(json);
      const devices = await listDevices();
      for (const device of devices) output.record({ ...device });
      const rows = devices.map((device) => [
        device.name,
        device.available ? 'yes' : 'no',
        device.instructionSet ?? '',
        String(device.threads ?? ''),
        device.reason ?? '',
      ]);
      output.print(table(['device', 'available', 'instructions', 'threads', ''], rows));
    });
