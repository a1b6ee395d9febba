use super::*;
use crate::key::SecretKey;
use crate::shared_vectors::{hex, json};

const TEXT: &str = "first line\n\nthird line\n";

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn known(name: &str, kind: KeyKind, seed: u8) -> VerifierKey {
    VerifierKey::new(name, kind, secret(seed).public_key()).unwrap()
}

fn signed(names: &[(&str, u8)]) -> SignedNote {
    let mut note = SignedNote::sign(TEXT, names[0].0, &secret(names[0].1)).unwrap();
    for (name, seed) in &names[1..] {
        note.add_signature(name, &secret(*seed)).unwrap();
    }
    note
}

/// The same note with its last signature spoilt.
fn spoilt(note: &SignedNote) -> SignedNote {
    let mut note = note.clone();
    *note.signatures.last_mut().unwrap().signature.last_mut().unwrap() ^= 1;
    note
}

#[test]
fn note_is_written_as_it_was_parsed() {
    let note = signed(&[("a.example", 1), ("b.example/x", 2)]);
    let text = note.to_string();
    assert!(text.starts_with("first line\n\nthird line\n\n\u{2014} a.example "));
    let parsed = SignedNote::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed, note);
    assert_eq!(parsed.to_string(), text);
    assert_eq!((parsed.untrusted_text(), parsed.signatures().len()), (TEXT, 2));
    for line in parsed.signatures() {
        assert_eq!(line.to_string().parse::<SignatureLine>().as_ref(), Ok(line));
    }
}

#[test]
fn note_refuses_bytes_that_are_not_its_exact_form() {
    let note = signed(&[("a.example", 1)]).to_string();
    let (head, line) = note.split_at(TEXT.len() + 1);
    let sig = &line["\u{2014} a.example ".len()..line.len() - 1];
    let with = |line: String| format!("{head}{line}").into_bytes();
    let in_line = |source| NoteError::Line { index: 0, source };
    let position = note.len() - 5;
    let mut not_utf8 = note.clone().into_bytes();
    not_utf8[position] = 0xff;
    let cases: Vec<(&str, Vec<u8>, NoteError)> = vec![
        ("empty", Vec::new(), NoteError::NoSeparator),
        ("no separator", b"text\n".into(), NoteError::NoSeparator),
        ("no text", format!("\n{line}").into(), NoteError::NoSeparator),
        ("no signatures", head.into(), NoteError::NoSignatures),
        ("not ended", with(line.trim_end().into()), NoteError::Unterminated),
        ("empty line at the end", format!("{note}\n").into(), NoteError::NoSignatures),
        ("not UTF-8", not_utf8, NoteError::Utf8 { position }),
        ("carriage return", note.replace("first", "f\rst").into(), NoteError::Control { position: 1 }),
        ("tab", note.replace("first", "f\tst").into(), NoteError::Control { position: 1 }),
        ("NUL", note.replace("first", "f\0st").into(), NoteError::Control { position: 1 }),
        ("CRLF", note.replace('\n', "\r\n").into(), NoteError::Control { position: 10 }),
        ("too long", vec![b'a'; MAX_NOTE_LEN + 1], NoteError::TooLong { found: MAX_NOTE_LEN + 1 }),
        ("hyphen", with(line.replace('\u{2014}', "-")), in_line(LineError::Shape)),
        ("en dash", with(line.replace('\u{2014}', "\u{2013}")), in_line(LineError::Shape)),
        ("no space", with(line.replacen(' ', "", 1)), in_line(LineError::Shape)),
        ("no name", with(format!("\u{2014} {sig}\n")), in_line(LineError::Shape)),
        ("empty name", with(format!("\u{2014}  {sig}\n")), in_line(LineError::Name(NameError))),
        ("plus in name", with(format!("\u{2014} a+b {sig}\n")), in_line(LineError::Name(NameError))),
        (
            "no-break space in name",
            with(format!("\u{2014} a\u{a0}b {sig}\n")),
            in_line(LineError::Name(NameError)),
        ),
        ("no signature", with("\u{2014} a.example \n".into()), in_line(LineError::Short)),
        ("id alone", with("\u{2014} a.example AAAAAA==\n".into()), in_line(LineError::Short)),
        (
            "no padding",
            with(format!("\u{2014} a.example {}\n", sig.trim_end_matches('='))),
            in_line(LineError::Base64(Base64Error::Padding)),
        ),
        (
            "trailing bits",
            with("\u{2014} a.example AAAAAAB=\n".into()),
            in_line(LineError::Base64(Base64Error::TrailingBits)),
        ),
        (
            "stray line",
            format!("{note}more\n").into(),
            NoteError::Line { index: 1, source: LineError::Shape },
        ),
    ];
    for (name, bytes, want) in cases {
        assert_eq!(SignedNote::parse(&bytes), Err(want), "case: {name}");
    }
    let space_at_end = SignedNote::parse(&with(format!("\u{2014} a.example {sig} \n")));
    assert!(matches!(space_at_end, Err(NoteError::Line { source: LineError::Base64(_), .. })));
}

#[test]
fn note_takes_100_signatures_and_not_one_more() {
    let seeds: Vec<(String, u8)> = (0..100).map(|seed| (format!("k{seed}.example"), seed)).collect();
    let names: Vec<(&str, u8)> = seeds.iter().map(|(name, seed)| (name.as_str(), *seed)).collect();
    let mut note = signed(&names);
    let keys: Vec<VerifierKey> = names.iter().map(|(name, seed)| known(name, KeyKind::Note, *seed)).collect();
    let text = note.to_string();
    let opened = SignedNote::parse(text.as_bytes()).unwrap().open(&keys).unwrap();
    assert_eq!(opened.signers().len(), 100);

    let line = note.signatures[0].clone();
    assert!(matches!(note.push(line.clone()), Err(SignNoteError::Full)));
    let longer = format!("{text}{line}");
    assert_eq!(SignedNote::parse(longer.as_bytes()), Err(NoteError::TooManySignatures));
}

#[test]
fn open_ignores_unknown_keys_and_refuses_known_ones_that_fail() {
    let (a, b) = (known("a.example", KeyKind::Note, 1), known("b.example", KeyKind::Note, 2));
    let note = signed(&[("a.example", 1), ("b.example", 2)]);
    let names = |note: &SignedNote, keys: &[VerifierKey]| {
        note.open(keys)
            .map(|opened| opened.signers().iter().map(|signer| signer.name.clone()).collect::<Vec<_>>())
    };
    assert_eq!(names(&note, &[a.clone(), b.clone()]), Ok(vec!["a.example".into(), "b.example".into()]));
    assert_eq!(names(&note, std::slice::from_ref(&b)), Ok(vec!["b.example".into()]));
    assert_eq!(names(&note, &[]), Err(OpenError::Unknown));

    // A spoilt line by a key that is known refuses everything; by one that is not, nothing.
    let spoilt = spoilt(&note);
    assert_eq!(names(&spoilt, &[a.clone(), b.clone()]), Err(OpenError::Signature { index: 1 }));
    assert_eq!(names(&spoilt, std::slice::from_ref(&a)), Ok(vec!["a.example".into()]));

    // The name or the id alone does not make a key known.
    let strangers = [
        ("other key of that name", known("a.example", KeyKind::Note, 3)),
        ("same key under another name", known("c.example", KeyKind::Note, 1)),
        ("same key for another kind", known("a.example", KeyKind::Cosignature, 1)),
    ];
    for (name, stranger) in strangers {
        assert_eq!(names(&signed(&[("a.example", 1)]), &[stranger]), Err(OpenError::Unknown), "case: {name}");
    }

    // Signatures do not move to another text.
    let mut moved = note;
    moved.text = "first line\n\nthird  line\n".into();
    assert_eq!(names(&moved, &[a]), Err(OpenError::Signature { index: 0 }));
}

#[test]
fn open_counts_a_repeated_line_once_and_still_verifies_it() {
    let key = known("a.example", KeyKind::Note, 1);
    let twice = signed(&[("a.example", 1), ("a.example", 1)]);
    assert_eq!(twice.open(std::slice::from_ref(&key)).unwrap().signers().len(), 1);
    let spoilt = spoilt(&twice);
    assert_eq!(spoilt.open(std::slice::from_ref(&key)), Err(OpenError::Signature { index: 1 }));
    // Naming a key twice among the known ones changes nothing.
    assert_eq!(twice.open(&[key.clone(), key]).unwrap().signers().len(), 1);
}

#[test]
fn open_refuses_keys_that_cannot_be_told_apart() {
    let a = known("a.example", KeyKind::Note, 1);
    // Four bytes of hash collide for whoever tries; here the collision is written down.
    let twin = VerifierKey { key: secret(2).public_key(), ..a.clone() };
    let note = signed(&[("a.example", 1)]);
    let want = OpenError::Ambiguous { name: "a.example".into(), id: a.id() };
    assert_eq!(note.open(&[a.clone(), twin.clone()]), Err(want));
    assert_eq!(note.open(&[twin]), Err(OpenError::Signature { index: 0 }));
}

#[test]
fn open_refuses_signatures_of_another_length() {
    let key = known("a.example", KeyKind::Note, 1);
    let witness = known("w.example", KeyKind::Cosignature, 2);
    let mut note = signed(&[("a.example", 1)]);
    note.add_cosignature("w.example", 5, &secret(2)).unwrap();
    for index in [0, 1] {
        for change in [-1_i32, 1] {
            let mut note = note.clone();
            let signature = &mut note.signatures[index].signature;
            let length = signature.len().checked_add_signed(change as isize).unwrap();
            signature.resize(length, 0);
            assert_eq!(note.open(&[key.clone(), witness.clone()]), Err(OpenError::Signature { index }));
        }
        let mut note = note.clone();
        note.signatures[index].signature.truncate(1);
        assert_eq!(note.open(&[key.clone(), witness.clone()]), Err(OpenError::Signature { index }));
    }
}

#[test]
fn cosignature_covers_the_text_and_its_time() {
    let witness = known("w.example", KeyKind::Cosignature, 2);
    let mut note = signed(&[("a.example", 1)]);
    note.add_cosignature("w.example", 1_700_000_000, &secret(2)).unwrap();
    let opened = note.open(std::slice::from_ref(&witness)).unwrap();
    assert_eq!(opened.signers()[0].time_seconds, Some(1_700_000_000));

    for bit in 0..64 {
        let mut changed = note.clone();
        changed.signatures[1].signature[bit / 8] ^= 1 << (bit % 8);
        let want = OpenError::Signature { index: 1 };
        assert_eq!(changed.open(std::slice::from_ref(&witness)), Err(want), "bit {bit} of the time");
    }
    let mut changed = note;
    changed.text.insert(0, ' ');
    assert_eq!(changed.open(&[witness]), Err(OpenError::Signature { index: 1 }));
}

#[test]
fn cosignature_time_stays_below_2_to_the_63() {
    let witness = known("w.example", KeyKind::Cosignature, 2);
    let mut note = signed(&[("a.example", 1)]);
    assert!(matches!(note.add_cosignature("w.example", MAX_TIME + 1, &secret(2)), Err(SignNoteError::Time)));
    note.add_cosignature("w.example", MAX_TIME, &secret(2)).unwrap();
    assert_eq!(note.open(std::slice::from_ref(&witness)).unwrap().signers()[0].time_seconds, Some(MAX_TIME));

    // A witness that signs a later time all the same is not believed.
    let time = MAX_TIME + 1;
    let signature = secret(2).sign(cosignature_message(TEXT, time).as_bytes()).unwrap();
    note.signatures[1].signature = [&time.to_be_bytes()[..], signature.as_bytes()].concat();
    assert_eq!(note.open(&[witness]), Err(OpenError::Signature { index: 1 }));
}

#[test]
fn sign_refuses_what_a_reader_would_refuse() {
    for text in ["", "not ended", "a\tb\n", "a\r\n"] {
        assert!(
            matches!(SignedNote::sign(text, "a.example", &secret(1)), Err(SignNoteError::Text)),
            "{text:?}"
        );
    }
    for name in ["", "a b", "a+b", "a\u{2003}b", "a\nb", "a\u{1}b"] {
        let error = SignedNote::sign(TEXT, name, &secret(1));
        assert!(matches!(error, Err(SignNoteError::Name(NameError))), "{name:?}");
        assert_eq!(VerifierKey::new(name, KeyKind::Note, secret(1).public_key()), Err(NameError), "{name:?}");
    }
    // What looks like signatures inside a text stays text.
    let nested = signed(&[("a.example", 1)]).to_string();
    let note = SignedNote::sign(&nested, "b.example", &secret(2)).unwrap();
    let parsed = SignedNote::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(parsed.untrusted_text(), nested);
    assert_eq!(parsed.open(&[known("a.example", KeyKind::Note, 1)]), Err(OpenError::Unknown));
}

#[test]
fn vkey_refuses_every_near_miss() {
    let key = known("a.example", KeyKind::Note, 1);
    let vkey = key.to_string();
    assert_eq!(vkey.parse(), Ok(key.clone()));
    let mut parts = vkey.splitn(3, '+');
    let (name, id, blob) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let with_bytes = |bytes: &[u8]| format!("{name}+{id}+{}", b64::encode(bytes));
    let of_type = |type_byte: u8| [&[type_byte][..], key.key().as_bytes()].concat();
    let mut small = [0; 33];
    small[0] = 1;
    let cases = [
        ("empty", String::new(), VerifierKeyError::Shape),
        ("two parts", format!("{name}+{id}"), VerifierKeyError::Shape),
        ("no name", format!("+{id}+{blob}"), VerifierKeyError::Name(NameError)),
        ("space in name", format!("a b+{id}+{blob}"), VerifierKeyError::Name(NameError)),
        (
            "other name",
            format!("b.example+{id}+{blob}"),
            VerifierKeyError::Id { expected: known("b.example", KeyKind::Note, 1).id() },
        ),
        (
            "upper-case id",
            format!("{name}+{}+{blob}", id.to_uppercase()),
            VerifierKeyError::Id { expected: key.id() },
        ),
        ("short id", format!("{name}+{}+{blob}", &id[1..]), VerifierKeyError::Id { expected: key.id() }),
        ("long id", format!("{name}+0{id}+{blob}"), VerifierKeyError::Id { expected: key.id() }),
        ("type 2", with_bytes(&of_type(2)), VerifierKeyError::Type { found: 2 }),
        ("type 6", with_bytes(&of_type(6)), VerifierKeyError::Type { found: 6 }),
        (
            "type of cosignatures",
            with_bytes(&of_type(4)),
            VerifierKeyError::Id { expected: known("a.example", KeyKind::Cosignature, 1).id() },
        ),
        ("weak key", with_bytes(&small), VerifierKeyError::Key(KeyError::SmallOrder)),
        (
            "32 bytes",
            with_bytes(&small[1..]),
            VerifierKeyError::Base64(Base64Error::Length { expected: 33, found: 32 }),
        ),
        (
            "34 bytes",
            with_bytes(&[1; 34]),
            VerifierKeyError::Base64(Base64Error::Length { expected: 33, found: 34 }),
        ),
    ];
    assert!(id.contains(|digit: char| digit.is_ascii_alphabetic()), "or upper case would change nothing");
    for (name, text, want) in cases {
        assert_eq!(text.parse::<VerifierKey>(), Err(want), "case: {name}");
    }
    for text in [format!("{vkey}\n"), format!(" {vkey}"), format!("{vkey}=")] {
        assert!(text.parse::<VerifierKey>().is_err(), "{text:?}");
    }
}

#[test]
fn note_vectors_are_met() {
    let Some(vectors) = json("signed-note/notes.json") else { return };
    for vkey in vectors["bad_vkeys"].as_array().unwrap() {
        assert!(vkey.as_str().unwrap().parse::<VerifierKey>().is_err(), "{vkey}");
    }
    for case in vectors["cases"].as_array().unwrap() {
        let keys: Vec<VerifierKey> = case["vkeys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|vkey| vkey.as_str().unwrap().parse().unwrap())
            .collect();
        let note = SignedNote::parse(case["note"].as_str().unwrap().as_bytes());
        let opened = note.ok().and_then(|note| note.open(&keys).ok());
        let want = case["ok"].as_bool().unwrap().then(|| case["verified"].as_u64().unwrap());
        assert_eq!(opened.map(|opened| opened.signers().len() as u64), want, "{}", case["name"]);
    }
}

#[test]
fn cosignatures_of_real_witnesses_verify() {
    let Some(vectors) = json("signed-note/sigsum-real-cosignatures.json") else { return };
    let bytes = |value: &serde_json::Value| hex(value.as_str().unwrap());
    let body = vectors["checkpoint_body"].as_str().unwrap();
    let mut note = SignedNote { text: body.into(), signatures: Vec::new() };
    let mut keys = Vec::new();
    for (index, cosignature) in vectors["cosignatures"].as_array().unwrap().iter().enumerate() {
        let name = format!("w{index}.example");
        let key = PublicKey::accept(&bytes(&cosignature["witness_pub_hex"]).try_into().unwrap()).unwrap();
        let key = VerifierKey::new(&name, KeyKind::Cosignature, key).unwrap();
        let time = cosignature["timestamp"].as_u64().unwrap().to_be_bytes();
        let signature = [&time[..], &bytes(&cosignature["sig_hex"])].concat();
        note.push(SignatureLine { name, id: key.id(), signature }).unwrap();
        keys.push(key);
    }
    assert_eq!(note.open(&keys).unwrap().signers().len(), 8);
    assert_eq!(spoilt(&note).open(&keys), Err(OpenError::Signature { index: 7 }));
}
