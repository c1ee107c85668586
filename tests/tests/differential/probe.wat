;; What every probe has: memory, an allocator, and a log line written piece by piece.
;;
;; Memory: results of hostcalls from 0 (see hostcalls.rs), texts from 0x400, the line that
;; is being written from 0x8000, what the host hands over from 0x10000.
(memory (export "memory") 64)
(global $free (mut i32) (i32.const 0x10000))
(global $end (mut i32) (i32.const 0x8000))
(data (i32.const 0x3f0) "0123456789abcdef")

(func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
  global.get $free
  (global.set $free (i32.add (global.get $free) (local.get $size))))

(func $byte (param $byte i32)
  (i32.store8 (global.get $end) (local.get $byte))
  (global.set $end (i32.add (global.get $end) (i32.const 1))))

(func $text (param $at i32) (param $size i32)
  (memory.copy (global.get $end) (local.get $at) (local.get $size))
  (global.set $end (i32.add (global.get $end) (local.get $size))))

(func $digits (param $number i64)
  (if (i64.ge_u (local.get $number) (i64.const 10))
    (then (call $digits (i64.div_u (local.get $number) (i64.const 10)))))
  (call $byte (i32.add (i32.const 48)
    (i32.wrap_i64 (i64.rem_u (local.get $number) (i64.const 10))))))

(func $number (param $number i64)
  (call $byte (i32.const 32))
  (call $digits (local.get $number)))

;; A byte as it is printed, or by its two digits.
(func $escaped (param $byte i32)
  (if (i32.and
        (i32.and (i32.ge_u (local.get $byte) (i32.const 32))
                 (i32.lt_u (local.get $byte) (i32.const 127)))
        (i32.ne (local.get $byte) (i32.const 92)))
    (then (call $byte (local.get $byte)))
    (else
      (call $byte (i32.const 92))
      (call $byte (i32.load8_u (i32.add (i32.const 0x3f0)
        (i32.shr_u (local.get $byte) (i32.const 4)))))
      (call $byte (i32.load8_u (i32.add (i32.const 0x3f0)
        (i32.and (local.get $byte) (i32.const 15))))))))

;; How many bytes, and the first 250 of them.
(func $bytes (param $at i32) (param $size i32) (local $stop i32)
  (call $byte (i32.const 32)) (call $byte (i32.const 91))
  (call $digits (i64.extend_i32_u (local.get $size)))
  (call $byte (i32.const 93))
  (if (i32.gt_u (local.get $size) (i32.const 250)) (then (local.set $size (i32.const 250))))
  (local.set $stop (i32.add (local.get $at) (local.get $size)))
  (block $done (loop $next
    (br_if $done (i32.ge_u (local.get $at) (local.get $stop)))
    (call $escaped (i32.load8_u (local.get $at)))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (br $next))))

(func $say
  (drop (call $proxy_log (i32.const 2) (i32.const 0x8000)
    (i32.sub (global.get $end) (i32.const 0x8000))))
  (global.set $end (i32.const 0x8000)))

;; Forgets what the calls before handed over.
(func $forget
  (memory.fill (i32.const 0) (i32.const 0) (i32.const 32))
  (global.set $free (i32.const 0x10000)))
