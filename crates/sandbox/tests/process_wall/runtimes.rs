//! The languages that people use start behind the wall and can do what they usually do.

use hearth_sandbox::{Exit, Spec};

use crate::world::World;

crate::tests![
    python_runs needs "/usr/bin/python3",
    node_runs needs "/usr/bin/node",
    java_runs needs "/usr/bin/java",
];

fn expect(world: &World, mut spec: Spec, output: &str) {
    spec.memory_mib = 512;
    spec.env
        .push(("PATH".to_owned(), "/usr/bin:/bin".to_owned()));
    let ran = world.run(spec);
    assert_eq!(
        (ran.stdout.as_str(), ran.exit),
        (output, Exit::Code(0)),
        "{}",
        ran.stderr
    );
}

fn python_runs() {
    let world = World::new();
    world.code(
        "work.py",
        "\
import concurrent.futures, ctypes, hashlib, json, os, socket, sqlite3, ssl, subprocess, sys, tempfile, threading, time
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    total = sum(pool.map(lambda n: n * n, range(10)))
assert subprocess.run(['/bin/echo', 'child'], capture_output=True).stdout == b'child\\n'
with tempfile.NamedTemporaryFile() as file:
    file.write(b'x')
assert ssl.create_default_context() and len(os.urandom(8)) == 8
listener = socket.create_server(('127.0.0.1', 0))
peer = socket.create_connection(listener.getsockname())
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, b'forked'); os._exit(0)
assert os.read(read, 6) == b'forked' and os.wait()
print(json.dumps({'total': total, 'here': os.getcwd(), 'processors': os.cpu_count() > 0}))
",
    );
    let output = "{\"total\": 285, \"here\": \"/var/task\", \"processors\": true}\n";
    expect(&world, world.spec(&["/usr/bin/python3", "work.py"]), output);
}

fn node_runs() {
    let world = World::new();
    world.code(
        "work.js",
        "\
const { Worker } = require('worker_threads');
const { createHash, randomBytes } = require('crypto');
const { execFileSync } = require('child_process');
const fs = require('fs'), http = require('http'), os = require('os'), zlib = require('zlib');
(async () => {
  const answer = await new Promise((resolve, reject) => {
    const worker = new Worker('require(\"worker_threads\").parentPort.postMessage(6 * 7)', { eval: true });
    worker.on('message', resolve); worker.on('error', reject);
  });
  const server = http.createServer((_, response) => response.end('served')).listen(0, '127.0.0.1');
  await new Promise(resolve => server.on('listening', resolve));
  const text = await new Promise((resolve, reject) =>
    http.get({ port: server.address().port, host: '127.0.0.1' }, response => {
      response.on('data', data => resolve(String(data)));
    }).on('error', reject));
  server.close();
  fs.writeFileSync('/tmp/x', zlib.gzipSync(randomBytes(100000)));
  const wasm = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
  const child = execFileSync('/bin/echo', ['child']).toString().trim();
  console.log(answer, text, child, os.hostname(), wasm instanceof WebAssembly.Module);
})();
",
    );
    expect(
        &world,
        world.spec(&["/usr/bin/node", "work.js"]),
        "42 served child sandbox true\n",
    );
}

fn java_runs() {
    let world = World::new();
    world.code(
        "Work.java",
        "class Work { public static void main(String[] a) { System.out.println(6 * 7); } }",
    );
    expect(
        &world,
        world.spec(&["/usr/bin/java", "-Xmx128m", "Work.java"]),
        "42\n",
    );
}
