;; Has the host write the arguments beyond the end of its memory.
(func $realloc (param i32 i32 i32 i32) (result i32) (i32.const 0xfffffff0))
(func $run (result i32) (call $report (i32.const 0)))
