// The package for arm64 boards, started under emulation where that is possible.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { call } from './support/http-call.ts';
import { freePorts, healthy, portFlags, startProcess } from './support/node-process.ts';
import { foreignPackage } from './support/package-folder.ts';

const arm = foreignPackage('linux-arm64');
const emulator = ['/usr/bin/qemu-aarch64-static', '/usr/bin/qemu-aarch64'].find((path) => existsSync(path));
/** Where the emulator finds the C library of arm64, as Debian's cross packages install it. */
const sysroot = process.env['QEMU_LD_PREFIX'] ?? '/usr/aarch64-linux-gnu';

function noArm(): string | false {
  if (process.arch !== 'x64') return 'this machine is not x64';
  if (emulator === undefined) return 'qemu-aarch64-static is not installed';
  if (arm === undefined) return 'the linux-arm64 package is not built';
  if (!existsSync(join(sysroot, 'lib/libatomic.so.1')))
    return `no arm64 libraries in ${sysroot} (QEMU_LD_PREFIX; libc6, libstdc++6 and libatomic1 -arm64-cross)`;
  return false;
}

t.test(
  'the arm64 package serves state and MQTT under emulation',
  { skip: noArm(), timeout: 90_000 },
  async (t) => {
    const directory = t.testdir();
    const folder = String(arm);
    const bundle = /"\$lib\/(skerry\.\w+)"/.exec(readFileSync(join(folder, 'skerry'), 'utf8'))?.[1];
    t.type(bundle, 'string', 'the command names its bundle');
    const ports = await freePorts();
    const flags = [
      ...portFlags(ports),
      '--mqtt-port',
      String(ports.mqtt),
      '--data-dir',
      join(directory, 'data'),
    ];
    const program = [join(folder, 'lib/node'), join(folder, 'lib', String(bundle)), 'skerry'];
    const running = startProcess(t, String(emulator), [...program, 'run', '--app-id', 'arm', ...flags], {
      env: { ...process.env, QEMU_LD_PREFIX: sysroot },
    });
    const base = `http://127.0.0.1:${ports.http}`;
    await healthy({ base, ...running }, 60_000);
    t.equal((await call(`${base}/v1.0/state/statestore`, { body: [{ key: 'a', value: 1 }] })).status, 204);
    t.equal((await call(`${base}/v1.0/state/statestore/a`)).text, '1');
    t.equal((await call(`${base}/v1.0/publish/pubsub/topic`, { body: { a: 1 } })).status, 204);
    running.child.kill('SIGTERM');
    t.equal((await running.ended).code, 0);
  },
);
