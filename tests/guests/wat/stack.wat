;; A command that calls itself for ever: the host's stack, not the guest's memory, is what it needs.
(component
  (core module $main
    (func $dig (export "run") (result i32)
      (i32.add (call $dig) (i32.const 1))))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
