;; A core module: valid WebAssembly, and no component.
(module
  (memory (export "memory") 1)
  (func (export "_start")))
