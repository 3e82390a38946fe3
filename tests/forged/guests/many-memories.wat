;; Declares more memories than a run may have.
(memory $a 1)
(memory $b 1)
(memory $c 1)
(memory $d 1)
(func $run (result i32) (call $report (i32.const 0)))
