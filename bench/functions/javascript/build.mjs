// node build.mjs NODE_MODULES OUTPUT: makes a component of hello.js.
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [modules, output] = process.argv.slice(2);
// componentize-js exports to `import` alone, which looks where this file is, not where the packages are.
const entry = join(modules, '@bytecodealliance/componentize-js/src/componentize.js');
const { componentize } = await import(pathToFileURL(entry));

// The interfaces come with jco; the engine inside componentize-js exports the fetch event under an older patch of 0.2.
const offered = '0.2.12';
const builtin = join(modules, '@bytecodealliance/jco/lib/wit/builtin', offered);
const spoken = '0.2.10';

const wit = await mkdtemp(join(tmpdir(), 'wit-'));
try {
  for (const name of await readdir(builtin)) {
    const text = await readFile(join(builtin, name, 'package.wit'), 'utf8');
    await mkdir(join(wit, 'deps', name), { recursive: true });
    await writeFile(join(wit, 'deps', name, 'package.wit'), text.replaceAll(offered, spoken));
  }
  await writeFile(
    join(wit, 'world.wit'),
    `package bench:hello;\nworld hello { include wasi:http/proxy@${spoken}; }\n`,
  );
  const { component } = await componentize({
    sourcePath: fileURLToPath(new URL('hello.js', import.meta.url)),
    witPath: wit,
    worldName: 'hello',
  });
  await writeFile(output, component);
} finally {
  await rm(wit, { recursive: true });
}
