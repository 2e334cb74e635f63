#!/bin/sh
# Builds component.wasm in the folder that is named (default: here).
# Needs: apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32; cargo install wit-bindgen-cli; rustup.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
linker=$(find "$(rustc --print sysroot)/lib/rustlib" -name wasm-component-ld)
wit-bindgen c "$here/../wit/function.wit" --world http --out-dir "$out"
for source in "$here/app.c" "$out/http.c"; do
    clang --target=wasm32-wasi -Oz -Wall -Wno-unused-parameter -I "$out" -c "$source" -o "$out/$(basename "$source" .c).o"
done
libraries=$(dirname "$(clang --target=wasm32-wasi --print-file-name=libc.a)")
builtins=$(clang --target=wasm32-wasi --print-libgcc-file-name)
"$linker" --wasi-adapter reactor --no-entry --gc-sections --strip-all -o "$out/component.wasm" \
    "$libraries/crt1-reactor.o" "$out/app.o" "$out/http.o" "$out/http_component_type.o" \
    -L "$libraries" -lc "$builtins"
