;; Reports metrics that lie beyond the end of its memory, as many as there can be.
(func $run (result i32)
  (drop (call $report (i32.const 0)))
  (i32.store (i32.const 2076) (i32.const 0xfff00000))
  (i32.store (i32.const 2080) (i32.const 0x7fffffff))
  (i32.const 2048))
