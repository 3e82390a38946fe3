;; Grows two tables until the host says no, and reports how far they came.
(table $first 0 funcref)
(table $second 0 funcref)
(func $run (result i32)
  (loop $more
    (br_if $more (i32.ne (table.grow $first (ref.null func) (i32.const 1000)) (i32.const -1))))
  (loop $more
    (br_if $more (i32.ne (table.grow $second (ref.null func) (i32.const 1000)) (i32.const -1))))
  (drop (table.grow $first (ref.null func) (i32.const 0x7fffffff)))
  (call $report (i32.add (table.size $first) (table.size $second))))
