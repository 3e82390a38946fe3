#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| picket_fuzz_targets::leaf(input));
