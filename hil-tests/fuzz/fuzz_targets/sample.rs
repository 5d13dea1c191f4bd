//! The program of the target of this name: libFuzzer's `main`, and the inputs that it makes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twinhelm_fuzz::sample::run(data));
