//! What fuzzing starts from: the golden files, cut up as each target takes them.

use std::io;
use std::path::Path;

use countersign_core::checkpoint::CheckpointProof;
use countersign_core::entry::Entry;
use countersign_core::merkle::Tree;
use countersign_core::note::SignedNote;

/// The target's name, a name for the seed, and the seed.
pub type Seed = (&'static str, String, Vec<u8>);

/// Seeds from the folder `tests/golden`.
///
/// # Errors
/// If a golden file can not be read.
///
/// # Panics
/// If the golden files are not what they are tested to be.
pub fn seeds(golden: &Path) -> io::Result<Vec<Seed>> {
    let read = |name: &str| std::fs::read(golden.join(name));
    let mut seeds: Vec<Seed> = Vec::new();
    let mut tree = Tree::new();
    let entries = read("entries.jsonl")?;
    for (nth, line) in entries.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        let entry = Entry::parse(line).expect("a golden entry reads");
        tree.push(entry.leaf());
        let kind = entry.statement().event.kind();
        seeds.push(("entry", kind.to_string(), line.to_vec()));
        seeds.push(("statement", kind.to_string(), entry.signed().to_bytes()));
        seeds.push(("statement", format!("{kind}.alone"), entry.signed().bytes().to_vec()));
        seeds.push(("canonical", kind.to_string(), line.to_vec()));
        let nth = u8::try_from(nth).expect("some thirty kinds");
        seeds.push(("proof", format!("{nth}"), vec![31, nth, nth / 2, nth, 3, 7, 5, 1, nth]));
    }
    for name in ["policy.json", "clause.json"] {
        seeds.push(("policy", name.into(), read(name)?));
        seeds.push(("canonical", name.into(), read(name)?));
    }
    let checkpoint = read("entries.jsonl.checkpoint")?;
    let note = SignedNote::parse(&checkpoint).expect("the golden checkpoint reads");
    let proof = tree.prove_inclusion(5, tree.size()).expect("the tree is that large");
    let proof = CheckpointProof { extra: Some(b"extra".to_vec()), index: 5, path: proof.path, note };
    seeds.push(("note", "checkpoint".into(), checkpoint));
    seeds.push(("note", "proof".into(), proof.to_string().into_bytes()));
    let vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    seeds.push(("note", "vkey".into(), vkey.into()));
    for (nth, text) in [
        "[]",
        "{}",
        "[1,-1,0,true,false,\"\"]",
        "{\"a\":{\"b\":[{\"c\":\"\\u0001\\n\u{e9}\"}]},\"d\":9007199254740991}",
        "{ \"b\" : 1.50e2 , \"a\" : [ null , \"\\u00e9\\ud83d\\ude00\\/\" ] }",
    ]
    .into_iter()
    .enumerate()
    {
        seeds.push(("canonical", format!("small.{nth}"), text.into()));
    }
    Ok(seeds)
}
