;; Computes for ever when the host asks it for room for the arguments.
(func $realloc (param i32 i32 i32 i32) (result i32) (loop $more (br $more)) (unreachable))
(func $run (result i32) (call $report (i32.const 0)))
