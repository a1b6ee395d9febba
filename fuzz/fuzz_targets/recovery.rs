#![no_main]

use countersign_store::file::Options;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = countersign_fuzz::recovery::recover(data, Options::new);
});
