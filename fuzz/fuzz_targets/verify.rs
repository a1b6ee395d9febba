#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let dir = std::env::temp_dir().join(format!("countersign-fuzz-verify-{}", std::process::id()));
    let _ = countersign_fuzz::verifying::verifies(data, &dir);
});
