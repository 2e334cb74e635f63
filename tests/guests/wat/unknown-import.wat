;; A component whose handler is there, and which asks for two interfaces that no host has.
(component
  (import "acme:vault/secrets@1.0.0" (instance $secrets
    (export "read" (func (param "name" string) (result string)))))
  (import "acme:vault/audit@1.0.0" (instance $audit
    (export "note" (func))))
  (core module $main
    (func (export "run") (result i32) i32.const 0))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
