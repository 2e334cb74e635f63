;; A command that grows a table until it is refused: tables are memory, too.
(component
  (core module $main
    (table 1 funcref)
    (func (export "run") (result i32)
      (local $rounds i32)
      (loop $again
        ref.null func
        i32.const 100000
        table.grow
        i32.const -1
        i32.ne
        (if (then
          (local.set $rounds (i32.add (local.get $rounds) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $rounds) (i32.const 20000))))))
      ;; Never refused is success; refused is failure.
      (i32.lt_u (local.get $rounds) (i32.const 20000))))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
