;; A command of four instances with a memory each: every one alone is below the function's limit, together they are not.
(component
  (core module $hoard
    (memory 1)
    ;; 96 MiB, every page touched: 1 if it was refused.
    (func (export "take") (result i32)
      (local $at i32)
      (if (i32.eq (memory.grow (i32.const 1536)) (i32.const -1)) (then (return (i32.const 1))))
      (loop $again
        (i32.store (local.get $at) (i32.const 1))
        (local.set $at (i32.add (local.get $at) (i32.const 4096)))
        (br_if $again (i32.lt_u (local.get $at) (i32.const 100663296))))
      i32.const 0))
  (core instance $a (instantiate $hoard))
  (core instance $b (instantiate $hoard))
  (core instance $c (instantiate $hoard))
  (core instance $d (instantiate $hoard))
  (core module $main
    (import "a" "take" (func $a (result i32)))
    (import "b" "take" (func $b (result i32)))
    (import "c" "take" (func $c (result i32)))
    (import "d" "take" (func $d (result i32)))
    ;; Success if all four got what they asked for.
    (func (export "run") (result i32)
      (i32.or (i32.or (call $a) (call $b)) (i32.or (call $c) (call $d)))))
  (core instance $main (instantiate $main
    (with "a" (instance $a)) (with "b" (instance $b)) (with "c" (instance $c)) (with "d" (instance $d))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
