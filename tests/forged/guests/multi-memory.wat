;; Grows three more memories beside its first one, each a little at a time, and reports how many pages it got in all.
(memory $a 0)
(memory $b 0)
(memory $c 0)
(func $run (result i32)
  (loop $more
    (drop (memory.grow $a (i32.const 16)))
    (drop (memory.grow $b (i32.const 16)))
    (br_if $more (i32.ne (memory.grow $c (i32.const 16)) (i32.const -1))))
  (call $report (i32.add (memory.size $a) (i32.add (memory.size $b) (memory.size $c)))))
