"""`hearth deploy --runtime wasm`: from source files in four languages to a function, and what is said when a tool is missing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import BINARY, ROOT
from wasm import FIXTURES, ask, as_json

EXAMPLES = ROOT / "examples"


def deploy(node, *arguments, path=None, check=True):
    """`hearth deploy` with a PATH of the test's own, if it has one."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HEARTH_", "AWS_", "VIRTUAL_ENV"))}
    environment |= {"HEARTH_DATA": str(node.data)} | ({} if path is None else {"PATH": path})
    done = subprocess.run([BINARY, "deploy", *arguments], capture_output=True, text=True, timeout=300, env=environment)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def javascript(tmp_path):
    """A folder with the npm packages of the tests beside it, where the tool is looked for."""
    npm = os.environ.get("HEARTH_TEST_NPM")
    if not npm:
        pytest.skip("npm packages are not installed")
    (tmp_path / "node_modules").symlink_to(Path(npm) / "node_modules")
    return tmp_path


@pytest.fixture
def python(tmp_path):
    """A folder with the virtual environment of the tests beside it."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def test_javascript(node, lam, name, javascript):
    source = shutil.copy(EXAMPLES / "wasm-js/app.js", javascript)
    created = deploy(node, source, "--runtime", "wasm", "--name", name)
    assert created.stdout.startswith(f"created {name} (wasm, "), created.stdout
    assert json.loads(node.hearth("invoke", name, "--data", '{"name": "Ada"}').stdout) == {"message": "Hello, Ada!", "from": "JavaScript"}
    assert as_json(ask(lam, name, "/Bo")[0])["message"] == "Hello, Bo!"
    assert "greeting Bo" in node.hearth("logs", name).stdout
    assert lam.get_function_configuration(FunctionName=name)["Runtime"] == "wasm"


def test_a_python_handler(node, name, python):
    """The very file that would run under a Python runtime, with a module of its own beside it."""
    (python / "app.py").write_text(
        "import os\nfrom helper import shout\n\ndef handler(event, context):\n    print('said', event)\n"
        "    if event.get('bad'):\n        raise ValueError('no')\n"
        "    return {'got': shout(event['word']), 'function': context.function_name, 'own': os.environ['OWN']}\n"
    )
    (python / "helper.py").write_text("def shout(word):\n    return word.upper()\n")
    deploy(node, python, "--runtime", "wasm", "--name", name, "--env", "OWN=1")
    answer = node.hearth("invoke", name, "--data", '{"word": "hä"}', "--tail")
    assert json.loads(answer.stdout) == {"got": "HÄ", "function": name, "own": "1"}
    assert "said {'word': 'hä'}" in answer.stderr
    failed = node.hearth("invoke", name, "--data", '{"bad": 1}', check=False)
    assert failed.returncode == 3 and "ValueError: no" in json.loads(failed.stdout)["errorMessage"]


def test_rust(node, lam, name, tmp_path, monkeypatch):
    built = subprocess.run(["rustc", "--print", "target-libdir", "--target", "wasm32-wasip2"], capture_output=True, text=True)
    if built.returncode != 0 or not Path(built.stdout.strip()).is_dir():
        pytest.skip("Rust's target wasm32-wasip2 is not installed: rustup target add wasm32-wasip2")
    monkeypatch.setenv("CARGO_TARGET_DIR", str(ROOT / "target/guests"))
    deploy(node, EXAMPLES / "wasm-rust", "--runtime", "wasm", "--name", name)
    assert json.loads(node.hearth("invoke", name, "--data", '{"name": "Ada"}').stdout)["from"] == "Rust"
    # Under its own name, and found from its content.
    copy = shutil.copy(EXAMPLES / "wasm-rust/prebuilt.wasm", tmp_path / f"{name}-prebuilt.wasm")
    deploy(node, copy)
    assert as_json(ask(lam, f"{name}-prebuilt", "/Ada")[0])["message"] == "Hello, Ada!"


def test_c(node, lam, name, tmp_path):
    missing = [tool for tool in ("clang", "wit-bindgen", "rustc") if not shutil.which(tool)]
    if missing or not Path("/usr/lib/wasm32-wasi/libc.a").exists():
        pytest.skip(f"not installed: {', '.join(missing) or 'wasi-libc'} (see examples/wasm-c; its prebuilt component is tested)")
    subprocess.run([EXAMPLES / "wasm-c/build.sh", tmp_path], check=True)
    deploy(node, tmp_path / "component.wasm", "--name", name)
    assert as_json(ask(lam, name, "/Ada")[0])["from"] == "C"


def test_a_prebuilt_component(node, name, tmp_path):
    """As a file, in a folder and in a zip; the runtime is found, an update keeps the name."""
    file = tmp_path / f"{name}.wasm"
    shutil.copy(FIXTURES / "command.wasm", file)
    assert deploy(node, file).stdout.startswith(f"created {name} (wasm, ")
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(file, folder / "component.wasm")
    (folder / "README.md").write_text("# beside it")
    assert deploy(node, folder, "--name", name, "--publish").stdout.startswith(f"updated {name}")
    package = shutil.make_archive(str(tmp_path / "package"), "zip", folder)
    assert deploy(node, package, "--name", name).stdout.startswith(f"updated {name}")
    assert json.loads(node.hearth("invoke", name, "--data", "[1]").stdout)["event"] == [1]
    assert json.loads(node.hearth("invoke", name, "--data", "[2]", "--qualifier", "1").stdout)["event"] == [2]


MISSING = {
    "app.js": ("addEventListener('fetch', (event) => event.respondWith(new Response('x')));", "npm install @bytecodealliance/componentize-js"),
    "app.py": ("def handler(event, context):\n    return 1\n", "pip install componentize-py"),
    "Cargo.toml": ("[package]\nname = 'x'\n", "rustup target add wasm32-wasip2"),
}


@pytest.mark.parametrize("file", MISSING)
def test_without_the_tool(node, tmp_path, file):
    """An empty PATH: what to install is said, word for word."""
    text, words = MISSING[file]
    (tmp_path / file).write_text(text)
    failed = deploy(node, tmp_path, "--runtime", "wasm", "--name", "never", path="", check=False)
    assert failed.returncode == 1 and words in failed.stderr and "not installed" in failed.stderr, failed.stderr
    assert str(tmp_path) in failed.stderr or file == "Cargo.toml"
    assert node.hearth("invoke", "never", check=False).returncode == 4


def test_what_can_not_be_built_is_said(node, tmp_path):
    def refused(path, *options):
        failed = deploy(node, path, "--name", "never", *options, check=False)
        assert failed.returncode == 1, failed.stdout
        return failed.stderr

    assert "is a core module" in refused(FIXTURES / "core.wasm")
    (tmp_path / "broken.wasm").write_text("not WebAssembly")
    assert "is not WebAssembly" in refused(tmp_path / "broken.wasm")
    (tmp_path / "old.js").write_text("exports.handler = async (event) => event;")
    assert "export const handler" in refused(tmp_path / "old.js", "--runtime", "wasm")
    (tmp_path / "notes.txt").write_text("text")
    assert ".js, .mjs or .py" in refused(tmp_path / "notes.txt", "--runtime", "wasm")
    empty = tmp_path / "two"
    empty.mkdir()
    for name in ("a.wasm", "b.wasm"):
        shutil.copy(FIXTURES / "hello.wasm", empty / name)
    assert "two components" in refused(empty, "--runtime", "wasm")


def test_a_broken_javascript_file(node, javascript):
    (javascript / "app.js").write_text("addEventListener('fetch', (event) => { this is no JavaScript });")
    failed = deploy(node, javascript / "app.js", "--runtime", "wasm", "--name", "never", check=False)
    assert failed.returncode == 1 and "componentize-js failed" in failed.stderr and "app.js" in failed.stderr, failed.stderr


def test_a_broken_python_file(node, python):
    (python / "app.py").write_text("import nothing_like_this\n\ndef handler(event, context):\n    return 1\n")
    failed = deploy(node, python / "app.py", "--runtime", "wasm", "--name", "never", check=False)
    assert failed.returncode == 1 and "componentize-py failed" in failed.stderr and "nothing_like_this" in failed.stderr, failed.stderr


def test_a_broken_crate(node, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/lib.rs").write_text("fn broken( {}\n")
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "broken"\nedition = "2024"\n[workspace]\n')
    failed = deploy(node, tmp_path, "--runtime", "wasm", "--name", "never", check=False)
    assert failed.returncode == 1 and ("cargo failed" in failed.stderr or "rustup target add" in failed.stderr), failed.stderr
