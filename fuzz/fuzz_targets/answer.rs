#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plimsoll::live::fuzz::answer(bytes));
