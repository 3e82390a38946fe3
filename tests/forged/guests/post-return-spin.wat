;; Returns a good report, and computes for ever when it may clean up after it.
(func $post-run (param i32) (loop $more (br $more)))
(func $run (result i32) (call $report (i32.const 0)))
