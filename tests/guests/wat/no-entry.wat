;; A component that exports nothing that could be called.
(component
  (core module $main
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
  (core instance $main (instantiate $main))
  (func (export "add") (param "a" s32) (param "b" s32) (result s32)
    (canon lift (core func $main "add"))))
