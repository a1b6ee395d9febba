use super::*;
use crate::key::SecretKey;
use crate::merkle::{Tree, leaf_hash};
use crate::shared_vectors::{hex, json};

const ORIGIN: &str = "ledger.example/acme";
const ROOT: &str = "z5tMKkSnyqci1dVI7mT/kKEZsMMaysNETcWDAAo508o=";

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn known(name: &str, kind: KeyKind, seed: u8) -> VerifierKey {
    VerifierKey::new(name, kind, secret(seed).public_key()).unwrap()
}

fn tree() -> Tree {
    (0..13).map(|index| leaf_hash(format!("leaf {index}").as_bytes())).collect()
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new(ORIGIN, 13, tree().root()).unwrap()
}

fn proof(index: u64) -> CheckpointProof {
    let path = tree().prove_inclusion(index, 13).unwrap().path;
    CheckpointProof { extra: None, index, path, note: checkpoint().sign(&secret(1)).unwrap() }
}

#[test]
fn checkpoint_text_has_one_spelling() {
    let text = format!("{ORIGIN}\n13\n{ROOT}\n");
    assert_eq!(checkpoint().to_string(), text);
    assert_eq!(text.parse(), Ok(checkpoint()));

    let with_size = |size: &str| format!("{ORIGIN}\n{size}\n{ROOT}\n");
    let sizes = [
        "",
        "013",
        "00",
        "+13",
        "-1",
        "1_3",
        " 13",
        "13 ",
        "0x13",
        "\u{661}",
        "9223372036854775808",
        &"9".repeat(30),
    ];
    for size in sizes {
        assert_eq!(with_size(size).parse::<Checkpoint>(), Err(CheckpointError::Size), "size `{size}`");
    }
    assert_eq!(with_size(&MAX_SIZE.to_string()).parse::<Checkpoint>().unwrap().size(), MAX_SIZE);

    let cases = [
        ("empty", String::new(), CheckpointError::Lines),
        ("one line", format!("{ORIGIN}\n"), CheckpointError::Lines),
        ("two lines", format!("{ORIGIN}\n13\n"), CheckpointError::Lines),
        ("not ended", format!("{ORIGIN}\n13\n{ROOT}"), CheckpointError::Lines),
        ("no origin", format!("\n13\n{ROOT}\n"), CheckpointError::Origin),
        (
            "no root",
            format!("{ORIGIN}\n13\n\n"),
            CheckpointError::Root(Base64Error::Length { expected: 32, found: 0 }),
        ),
        (
            "short root",
            format!("{ORIGIN}\n13\n{}\n", &ROOT[..43]),
            CheckpointError::Root(Base64Error::Padding),
        ),
        (
            "trailing bits",
            format!("{ORIGIN}\n13\n{}\n", ROOT.replace("8o=", "8p=")),
            CheckpointError::Root(Base64Error::TrailingBits),
        ),
        ("extension", format!("{text}more\n"), CheckpointError::Extensions { lines: vec!["more".into()] }),
        ("empty extension", format!("{text}\n"), CheckpointError::Extensions { lines: vec![String::new()] }),
        // A snapshot's note begins so; the ledger id stands where the size would.
        ("snapshot", format!("countersign-snapshot/v1\n{ORIGIN}\n13\n{ROOT}\n"), CheckpointError::Size),
    ];
    for (name, text, want) in cases {
        assert_eq!(text.parse::<Checkpoint>(), Err(want), "case: {name}");
    }
}

#[test]
fn checkpoint_refuses_what_no_tree_has() {
    assert_eq!(Checkpoint::new(ORIGIN, 0, tree().root()), Err(CheckpointError::EmptyRoot));
    assert_eq!(format!("{ORIGIN}\n0\n{ROOT}\n").parse::<Checkpoint>(), Err(CheckpointError::EmptyRoot));
    let empty = Checkpoint::new(ORIGIN, 0, EMPTY_ROOT).unwrap();
    assert_eq!(empty.to_string().parse(), Ok(empty));
    assert_eq!(Checkpoint::new(ORIGIN, MAX_SIZE + 1, EMPTY_ROOT), Err(CheckpointError::Size));
    for origin in ["", "a\nb", "a\0"] {
        assert_eq!(Checkpoint::new(origin, 0, EMPTY_ROOT), Err(CheckpointError::Origin), "{origin:?}");
    }
    let unsignable = Checkpoint::new("two words", 0, EMPTY_ROOT).unwrap();
    assert!(matches!(unsignable.sign(&secret(1)), Err(SignNoteError::Name(_))));
}

#[test]
fn open_needs_the_signature_of_that_very_log() {
    let log = known(ORIGIN, KeyKind::Note, 1);
    let witness = known("witness.example/w1", KeyKind::Cosignature, 2);
    let mut note = checkpoint().sign(&secret(1)).unwrap();
    note.add_cosignature("witness.example/w1", 1_700_000_000, &secret(2)).unwrap();

    let opened = open(&note, ORIGIN, &[log.clone(), witness.clone()]).unwrap();
    assert_eq!(opened.checkpoint(), &checkpoint());
    let witnesses: Vec<_> =
        opened.witnesses().map(|witness| (witness.name.as_str(), witness.time_seconds)).collect();
    assert_eq!(witnesses, [("witness.example/w1", Some(1_700_000_000))]);
    // A rotated key beside the one that signed is no hindrance.
    assert!(open(&note, ORIGIN, &[known(ORIGIN, KeyKind::Note, 3), log.clone()]).is_ok());

    let open = |note: &SignedNote, origin: &str, keys: &[VerifierKey]| open(note, origin, keys).unwrap_err();
    let other = OpenCheckpointError::Origin { found: ORIGIN.into() };
    assert_eq!(open(&note, "ledger.example/other", std::slice::from_ref(&log)), other);
    assert_eq!(open(&note, ORIGIN, std::slice::from_ref(&witness)), OpenCheckpointError::NotByLog);
    assert_eq!(open(&note, ORIGIN, &[]), OpenCheckpointError::Signature(OpenError::Unknown));
    let stranger = known(ORIGIN, KeyKind::Note, 3);
    assert_eq!(open(&note, ORIGIN, &[stranger]), OpenCheckpointError::Signature(OpenError::Unknown));

    // The log's key under another name, or as a witness of itself, is not the log.
    let renamed = SignedNote::sign(&checkpoint().to_string(), "ledger.example/other", &secret(1)).unwrap();
    let key = known("ledger.example/other", KeyKind::Note, 1);
    assert_eq!(open(&renamed, ORIGIN, &[log.clone(), key.clone()]), OpenCheckpointError::NotByLog);
    let mut itself = renamed;
    itself.add_cosignature(ORIGIN, 1, &secret(1)).unwrap();
    let keys = [key, known(ORIGIN, KeyKind::Cosignature, 1)];
    assert_eq!(open(&itself, ORIGIN, &keys), OpenCheckpointError::NotByLog);

    let extended = SignedNote::sign(&format!("{}more\n", checkpoint()), ORIGIN, &secret(1)).unwrap();
    let want = OpenCheckpointError::Text(CheckpointError::Extensions { lines: vec!["more".into()] });
    assert_eq!(open(&extended, ORIGIN, &[log]), want);
}

#[test]
fn checkpoint_does_not_open_after_any_bit_flip() {
    let log = [known(ORIGIN, KeyKind::Note, 1)];
    let note = checkpoint().sign(&secret(1)).unwrap().to_string().into_bytes();
    for bit in 0..note.len() * 8 {
        let mut flipped = note.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let opened = SignedNote::parse(&flipped).ok().and_then(|note| open(&note, ORIGIN, &log).ok());
        assert_eq!(opened, None, "bit {bit}");
    }
}

#[test]
fn proof_holds_for_its_entry_only() {
    let log = [known(ORIGIN, KeyKind::Note, 1)];
    for index in 0..13 {
        let proof = proof(index);
        let parsed = CheckpointProof::parse(proof.to_string().as_bytes()).unwrap();
        assert_eq!(parsed, proof);
        for other in 0..13 {
            let verdict = parsed.verify(tree().leaf(other).unwrap(), ORIGIN, &log);
            assert_eq!(verdict.is_ok(), other == index, "{other} for {index}");
        }
    }
    let leaf = tree().leaf(0).unwrap();
    let beyond = CheckpointProof { index: 13, ..proof(0) };
    let want = CheckpointProofError::Proof(ProofError::Index { index: 13, size: 13 });
    assert_eq!(beyond.verify(leaf, ORIGIN, &log), Err(want));
    let want = CheckpointProofError::Checkpoint(OpenCheckpointError::Signature(OpenError::Unknown));
    assert_eq!(proof(0).verify(leaf, ORIGIN, &[]), Err(want));
}

#[test]
fn proof_text_has_one_spelling() {
    let plain = proof(5).to_string();
    let extra = CheckpointProof { extra: Some(b"salt".to_vec()), ..proof(5) };
    assert_eq!(CheckpointProof::parse(extra.to_string().as_bytes()), Ok(extra.clone()));
    let no_extra = CheckpointProof { extra: Some(Vec::new()), ..proof(5) };
    assert_eq!(CheckpointProof::parse(no_extra.to_string().as_bytes()), Ok(no_extra));

    let (head, note) = plain.split_once("\n\n").unwrap();
    let cases = [
        ("empty", String::new(), ParseProofError::Header),
        ("other version", plain.replace("@v1", "@v2"), ParseProofError::Header),
        ("space after header", plain.replacen('\n', " \n", 1), ParseProofError::Header),
        ("no index", plain.replace("index 5\n", ""), ParseProofError::Index),
        ("leading zero", plain.replace("index 5", "index 05"), ParseProofError::Index),
        ("upper case", plain.replace("index 5", "Index 5"), ParseProofError::Index),
        ("header alone", plain[..23].into(), ParseProofError::Index),
        (
            "two extra lines",
            extra.to_string().replacen("index", "extra AAAA\nindex", 1),
            ParseProofError::Index,
        ),
        (
            "bad extra",
            extra.to_string().replace("c2FsdA==", "c2FsdB=="),
            ParseProofError::Base64(Base64Error::TrailingBits),
        ),
        ("no empty line", format!("{head}\n"), ParseProofError::Unterminated),
        ("no note", format!("{head}\n\n"), ParseProofError::Note(NoteError::NoSeparator)),
    ];
    for (name, text, want) in cases {
        assert_eq!(CheckpointProof::parse(text.as_bytes()), Err(want), "case: {name}");
    }
    let after_index = plain.replace("index 5\n", "index 5\nextra AAAA\n");
    assert!(matches!(CheckpointProof::parse(after_index.as_bytes()), Err(ParseProofError::Base64(_))));
    // A note may begin with an empty line, but its text is then no checkpoint.
    let two_empty_lines = CheckpointProof::parse(format!("{head}\n\n\n{note}").as_bytes()).unwrap();
    let opened = open(&two_empty_lines.note, ORIGIN, &[known(ORIGIN, KeyKind::Note, 1)]);
    assert!(matches!(opened, Err(OpenCheckpointError::Text(_))));

    let line = format!("{ROOT}\n");
    let with = |count: usize| format!("{PROOF_HEADER}\nindex 5\n{}\n{note}", line.repeat(count));
    assert_eq!(CheckpointProof::parse(with(63).as_bytes()).unwrap().path.len(), 63);
    assert_eq!(CheckpointProof::parse(with(64).as_bytes()), Err(ParseProofError::TooManyHashes));
}

#[test]
fn checkpoint_vectors_are_met() {
    let Some(vectors) = json("signed-note/checkpoint-cosigned.json") else { return };
    let text = |member: &str| vectors[member].as_str().unwrap();
    let key = |member: &str| SecretKey::from_seed(&hex(text(member)).try_into().unwrap());
    let (log, witness) = (key("log_seed_hex"), key("witness_seed_hex"));
    assert_eq!(log.public_key().as_bytes()[..], hex(text("log_pub_hex")));
    let known = [
        VerifierKey::new(ORIGIN, KeyKind::Note, log.public_key()).unwrap(),
        VerifierKey::new("witness.example/w1", KeyKind::Cosignature, witness.public_key()).unwrap(),
    ];
    assert_eq!(known[0].to_string(), text("log_vkey"));
    assert_eq!(known[1].to_string(), text("witness_vkey"));

    // Signing makes the very bytes, reading takes them.
    assert_eq!(checkpoint().to_string(), text("body"));
    let time = vectors["timestamp"].as_u64().unwrap();
    assert_eq!(crate::note::cosignature_message(text("body"), time), text("cosigned_message"));
    let mut note = checkpoint().sign(&log).unwrap();
    assert_eq!(note.signatures()[0].to_string(), text("log_line"));
    note.add_cosignature("witness.example/w1", time, &witness).unwrap();
    assert_eq!(note.signatures()[1].to_string(), text("witness_line"));
    assert_eq!(note.to_string(), text("checkpoint"));
    let opened = open(&SignedNote::parse(text("checkpoint").as_bytes()).unwrap(), ORIGIN, &known).unwrap();
    assert_eq!((opened.checkpoint(), opened.signers().len()), (&checkpoint(), 2));

    let proof = CheckpointProof::parse(text("tlog_proof_leaf5").as_bytes()).unwrap();
    assert_eq!(proof.to_string(), text("tlog_proof_leaf5"));
    assert_eq!(proof.path, tree().prove_inclusion(5, 13).unwrap().path);
    assert_eq!(proof.verify(leaf_hash(b"leaf 5"), ORIGIN, &known).unwrap().witnesses().count(), 1);

    // The body of an add-checkpoint request carries a consistency proof from 7 to 13.
    let consistency = tree().prove_consistency(7, 13).unwrap();
    let hashes: String = consistency.path.iter().map(|hash| b64::encode(hash.as_bytes()) + "\n").collect();
    assert!(text("add_checkpoint_7_13").starts_with(&format!("old 7\n{hashes}\n{ORIGIN}\n")));
}
