;; A filter that copies every byte of both directions to itself and looks at none: the least that
;; any filter costs that inspects what passes. Every segment has the same place in its memory.
(module
  (import "env" "proxy_get_buffer_bytes"
    (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 64)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 65536))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_new_connection") (param i32) (result i32) (i32.const 0))

  (func $read (param $buffer i32) (param $size i32)
    (if (local.get $size)
      (then (drop (call $get (local.get $buffer) (i32.const 0) (local.get $size)
        (i32.const 16) (i32.const 20))))))

  ;; Buffer 2 is what the client said, 3 what the server said.
  (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
    (call $read (i32.const 2) (local.get 1))
    (i32.const 0))
  (func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
    (call $read (i32.const 3) (local.get 1))
    (i32.const 0)))
