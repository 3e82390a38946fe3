;; A checker of line 0.1 without imports, around the text of a guest.
(component
  (core module $main
    ;; Its first memory, whatever others a guest has.
    (memory $memory (export "memory") 2)

    ;; {guest}

    (global $next (mut i32) (i32.const 65536))

    ;; {$realloc
    ;; Hands out memory and never takes it back: a run is over soon.
    (func $realloc (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $next))
      (global.set $next
        (i32.and (i32.add (i32.add (local.get $at) (local.get $new)) (i32.const 7)) (i32.const -8)))
      (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
        (then (drop (memory.grow (i32.const 16)))))
      (local.get $at))
    ;; $realloc}
    (export "realloc" (func $realloc))

    ;; {$post-run
    (func $post-run (param i32))
    ;; $post-run}
    (export "post-run" (func $post-run))

    ;; Texts: 16 "guest", 24 "0.1.0", 32 a schema, 56 "forged", 64 "number", 72 "1".
    (data (i32.const 16) "guest\00\00\000.1.0\00\00\00{\22type\22:\22object\22}")
    (data (i32.const 56) "forged\00\00number\00\001")

    ;; At 1024 the descriptor.
    (data (i32.const 1024)
      "\10\00\00\00\05\00\00\00" "\18\00\00\00\05\00\00\00" "\38\00\00\00\06\00\00\00" "\20\00\00\00\11\00\00\00"
      "\e8\03\00\00\00\00\00\00" "\e8\03\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00")
    (func (export "describe") (result i32) (i32.const 1024))

    ;; At 1152 what it needs: nothing, and no error.
    (func (export "needs") (param i32 i32) (result i32) (i32.const 1152))

    ;; A report `ok` at 2048 with one metric at 2304, which has this value.
    (func $report (param $value i32) (result i32)
      (i32.store (i32.const 2056) (i32.const 56))
      (i32.store (i32.const 2060) (i32.const 6))
      (i32.store (i32.const 2076) (i32.const 2304))
      (i32.store (i32.const 2080) (i32.const 1))
      (i32.store (i32.const 2304) (i32.const 64))
      (i32.store (i32.const 2308) (i32.const 6))
      (f64.store (i32.const 2312) (f64.convert_i32_u (local.get $value)))
      (i32.store (i32.const 2320) (i32.const 72))
      (i32.store (i32.const 2324) (i32.const 1))
      (i32.const 2048))

    (func (export "run") (param i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (call $run)))

  (core instance $main (instantiate $main))
  (alias core export $main "memory" (core memory $memory))
  (alias core export $main "realloc" (core func $realloc))
  (alias core export $main "post-run" (core func $post-run))
  (alias core export $main "describe" (core func $core-describe))
  (alias core export $main "needs" (core func $core-needs))
  (alias core export $main "run" (core func $core-run))

  (type $field (tuple string string))
  (type $status (enum "ok" "warning" "critical" "unknown"))
  (type $metric (record
    (field "name" string) (field "value" f64) (field "unit" string) (field "counter" bool)
    (field "warning" (option string)) (field "critical" (option string))
    (field "min" (option f64)) (field "max" (option f64)) (field "labels" (list $field))))
  (type $evidence (record (field "kind" string) (field "title" string) (field "body" string)))
  (type $report (record
    (field "status" $status) (field "summary" string) (field "details" (option string))
    (field "metrics" (list $metric)) (field "labels" (list $field)) (field "evidence" (list $evidence))
    (field "extra" (list $field))))
  (type $error-kind (enum "invalid-config" "denied" "unsupported" "failed"))
  (type $error (record (field "kind" $error-kind) (field "message" string)))
  (type $need (record (field "grant" string) (field "reason" string)))
  (type $descriptor (record
    (field "name" string) (field "version" string) (field "summary" string) (field "config-schema" string)
    (field "default-interval-ms" u64) (field "default-timeout-ms" u64) (field "extra" (list $field))))
  (type $request (record
    (field "check" string) (field "config" string) (field "timeout-ms" u64)
    (field "scheduled-at-unix-ms" u64) (field "extra" (list $field))))

  (func $describe (result $descriptor)
    (canon lift (core func $core-describe) (memory $memory) (realloc $realloc)))
  (func $needs (param "config" string) (result (result (list $need) (error $error)))
    (canon lift (core func $core-needs) (memory $memory) (realloc $realloc)))
  (func $run (param "request" $request) (result (result $report (error $error)))
    (canon lift (core func $core-run) (memory $memory) (realloc $realloc) (post-return $post-run)))

  ;; An exported function may only name types that are exported too: this component gives them their names.
  (component $named
    (type $field (tuple string string))
    (type $status' (enum "ok" "warning" "critical" "unknown"))
    (import "status" (type $status (eq $status')))
    (type $metric' (record
      (field "name" string) (field "value" f64) (field "unit" string) (field "counter" bool)
      (field "warning" (option string)) (field "critical" (option string))
      (field "min" (option f64)) (field "max" (option f64)) (field "labels" (list $field))))
    (import "metric" (type $metric (eq $metric')))
    (type $evidence' (record (field "kind" string) (field "title" string) (field "body" string)))
    (import "evidence" (type $evidence (eq $evidence')))
    (type $report' (record
      (field "status" $status) (field "summary" string) (field "details" (option string))
      (field "metrics" (list $metric)) (field "labels" (list $field)) (field "evidence" (list $evidence))
      (field "extra" (list $field))))
    (import "report" (type $report (eq $report')))
    (type $error-kind' (enum "invalid-config" "denied" "unsupported" "failed"))
    (import "error-kind" (type $error-kind (eq $error-kind')))
    (type $error' (record (field "kind" $error-kind) (field "message" string)))
    (import "error" (type $error (eq $error')))
    (type $need' (record (field "grant" string) (field "reason" string)))
    (import "need" (type $need (eq $need')))
    (type $descriptor' (record
      (field "name" string) (field "version" string) (field "summary" string) (field "config-schema" string)
      (field "default-interval-ms" u64) (field "default-timeout-ms" u64) (field "extra" (list $field))))
    (import "descriptor" (type $descriptor (eq $descriptor')))
    (type $request' (record
      (field "check" string) (field "config" string) (field "timeout-ms" u64)
      (field "scheduled-at-unix-ms" u64) (field "extra" (list $field))))
    (import "request" (type $request (eq $request')))

    (import "describe" (func $describe (result $descriptor)))
    (import "needs" (func $needs (param "config" string) (result (result (list $need) (error $error)))))
    (import "run" (func $run (param "request" $request) (result (result $report (error $error)))))

    ;; Again, for what is exported refers to what is exported.
    (type $status-type (enum "ok" "warning" "critical" "unknown"))
    (export $status-out "status" (type $status-type))
    (type $metric-type (record
      (field "name" string) (field "value" f64) (field "unit" string) (field "counter" bool)
      (field "warning" (option string)) (field "critical" (option string))
      (field "min" (option f64)) (field "max" (option f64)) (field "labels" (list $field))))
    (export $metric-out "metric" (type $metric-type))
    (type $evidence-type (record (field "kind" string) (field "title" string) (field "body" string)))
    (export $evidence-out "evidence" (type $evidence-type))
    (type $report-type (record
      (field "status" $status-out) (field "summary" string) (field "details" (option string))
      (field "metrics" (list $metric-out)) (field "labels" (list $field)) (field "evidence" (list $evidence-out))
      (field "extra" (list $field))))
    (export $report-out "report" (type $report-type))
    (type $error-kind-type (enum "invalid-config" "denied" "unsupported" "failed"))
    (export $error-kind-out "error-kind" (type $error-kind-type))
    (type $error-type (record (field "kind" $error-kind-out) (field "message" string)))
    (export $error-out "error" (type $error-type))
    (type $need-type (record (field "grant" string) (field "reason" string)))
    (export $need-out "need" (type $need-type))
    (type $descriptor-type (record
      (field "name" string) (field "version" string) (field "summary" string) (field "config-schema" string)
      (field "default-interval-ms" u64) (field "default-timeout-ms" u64) (field "extra" (list $field))))
    (export $descriptor-out "descriptor" (type $descriptor-type))
    (type $request-type (record
      (field "check" string) (field "config" string) (field "timeout-ms" u64)
      (field "scheduled-at-unix-ms" u64) (field "extra" (list $field))))
    (export $request-out "request" (type $request-type))
    (export "describe" (func $describe) (func (result $descriptor-out)))
    (export "needs" (func $needs)
      (func (param "config" string) (result (result (list $need-out) (error $error-out)))))
    (export "run" (func $run)
      (func (param "request" $request-out) (result (result $report-out (error $error-out))))))

  (instance $check (instantiate $named
    (with "status" (type $status))
    (with "metric" (type $metric))
    (with "evidence" (type $evidence))
    (with "report" (type $report))
    (with "error-kind" (type $error-kind))
    (with "error" (type $error))
    (with "need" (type $need))
    (with "descriptor" (type $descriptor))
    (with "request" (type $request))
    (with "describe" (func $describe))
    (with "needs" (func $needs))
    (with "run" (func $run))))
  (export "picket:checker/check@0.1.0" (instance $check)))
