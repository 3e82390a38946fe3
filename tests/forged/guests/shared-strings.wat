;; Reports five hundred metrics whose names are all the same 64 KiB: little memory here, 32 MiB if the host copied it.
(func $run (result i32)
  (local $at i32)
  (drop (call $report (i32.const 0)))
  (local.set $at (i32.const 4096))
  (loop $more
    (memory.copy (local.get $at) (i32.const 2304) (i32.const 96))
    (i32.store (local.get $at) (i32.const 65536))
    (i32.store offset=4 (local.get $at) (i32.const 65536))
    (local.set $at (i32.add (local.get $at) (i32.const 96)))
    (br_if $more (i32.lt_u (local.get $at) (i32.const 52096))))
  (i32.store (i32.const 2076) (i32.const 4096))
  (i32.store (i32.const 2080) (i32.const 500))
  (i32.const 2048))
