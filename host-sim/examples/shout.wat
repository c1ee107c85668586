;; A filter for the example: what the client says reaches the server in capitals.
;; It counts the octets in the metric `octets`, keeps the last segment as shared
;; data `last`, puts each segment into the queue `said`, and says every second on
;; virtual time that it is there.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_buffer_bytes" (func $set (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $add (param i32 i64) (result i32)))
  (import "env" "proxy_set_shared_data" (func $keep (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
  (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))

  (memory (export "memory") 32)
  (data (i32.const 0) "octets")
  (data (i32.const 16) "last")
  (data (i32.const 32) "said")
  (data (i32.const 48) "still here")

  ;; Nothing is freed: every segment has the same place.
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 65536))

  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $define (i32.const 0) (i32.const 0) (i32.const 6) (i32.const 100)))
    (drop (call $register (i32.const 32) (i32.const 4) (i32.const 104)))
    (drop (call $tick (i32.const 1000)))
    (i32.const 1))

  (func (export "proxy_on_tick") (param i32)
    (drop (call $log (i32.const 2) (i32.const 48) (i32.const 10))))

  (func (export "proxy_on_downstream_data")
    (param $context i32) (param $size i32) (param $end i32) (result i32)
    (local $at i32) (local $stop i32) (local $letter i32)
    (if (i32.eqz (local.get $size)) (then (return (i32.const 0))))
    (drop (call $get (i32.const 2) (i32.const 0) (local.get $size) (i32.const 108) (i32.const 112)))
    (local.set $at (i32.load (i32.const 108)))
    (local.set $stop (i32.add (local.get $at) (i32.load (i32.const 112))))
    (loop $next
      (local.set $letter (i32.load8_u (local.get $at)))
      (if (i32.and (i32.ge_u (local.get $letter) (i32.const 97))
                   (i32.le_u (local.get $letter) (i32.const 122)))
        (then (i32.store8 (local.get $at) (i32.sub (local.get $letter) (i32.const 32)))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $stop))))
    (drop (call $set (i32.const 2) (i32.const 0) (local.get $size)
      (i32.load (i32.const 108)) (i32.load (i32.const 112))))
    (drop (call $add (i32.load (i32.const 100)) (i64.extend_i32_u (local.get $size))))
    (drop (call $keep (i32.const 16) (i32.const 4)
      (i32.load (i32.const 108)) (i32.load (i32.const 112)) (i32.const 0)))
    (drop (call $enqueue (i32.load (i32.const 104))
      (i32.load (i32.const 108)) (i32.load (i32.const 112))))
    (i32.const 0)))
