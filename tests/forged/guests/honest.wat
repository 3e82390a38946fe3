;; Reports the answer: shows that the template itself is a good checker.
(func $run (result i32) (call $report (i32.const 42)))
