use super::*;
use crate::shared_vectors::{hex, json};

/// Every encoding of the eight points of small order, canonical or not, as CCTV lists them.
fn small_order_encodings() -> Vec<([u8; 32], KeyError)> {
    let fill = |first: u8, middle: u8, last: u8| {
        let mut bytes = [middle; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    let array = |text: &str| <[u8; 32]>::try_from(hex(text)).unwrap();
    vec![
        (fill(0x00, 0x00, 0x00), KeyError::SmallOrder),
        (fill(0x00, 0x00, 0x80), KeyError::SmallOrder),
        (fill(0xed, 0xff, 0x7f), KeyError::NotCanonical),
        (fill(0xed, 0xff, 0xff), KeyError::NotCanonical),
        (fill(0x01, 0x00, 0x00), KeyError::SmallOrder),
        (fill(0x01, 0x00, 0x80), KeyError::NotCanonical),
        (fill(0xee, 0xff, 0x7f), KeyError::NotCanonical),
        (fill(0xee, 0xff, 0xff), KeyError::NotCanonical),
        (fill(0xec, 0xff, 0x7f), KeyError::SmallOrder),
        (fill(0xec, 0xff, 0xff), KeyError::NotCanonical),
        (array("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), KeyError::SmallOrder),
        (array("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"), KeyError::SmallOrder),
        (array("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), KeyError::SmallOrder),
        (array("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"), KeyError::SmallOrder),
    ]
}

/// The strict verdict with any key that decodes: vectors also use keys that enrolment refuses.
fn strict_verdict(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = <[u8; 64]>::try_from(signature) else {
        return false;
    };
    let signature = Signature::new(signature);
    let bytes = <[u8; 32]>::try_from(key).unwrap();
    let Ok(key) = VerifyingKey::from_bytes(&bytes) else {
        assert!(PublicKey::accept(&bytes).is_err());
        return false;
    };
    let verdict = verify_strict(&key, message, &signature).is_ok();
    // An accepted key gives the same verdict by the public way.
    if let Ok(key) = PublicKey::accept(&bytes) {
        assert_eq!(key.verify_strict(message, &signature).is_ok(), verdict);
    }
    verdict
}

#[test]
fn key_refuses_all_encodings_of_small_order_points() {
    for (bytes, want) in small_order_encodings() {
        assert_eq!(PublicKey::accept(&bytes), Err(want), "{bytes:02x?}");
    }
}

#[test]
fn key_refuses_each_weakness_with_its_own_reason() {
    let good = SecretKey::from_seed(&[1; 32]).public_key();
    assert_eq!(PublicKey::accept(good.as_bytes()), Ok(good));

    let point = CompressedEdwardsY(*good.as_bytes()).decompress().unwrap();
    for torsion in &curve25519_dalek::constants::EIGHT_TORSION[1..] {
        let mixed = (point + torsion).compress().to_bytes();
        assert_eq!(PublicKey::accept(&mixed), Err(KeyError::Torsion), "prime-order point plus torsion");
    }

    // Every y from p to 2^255 - 1, with either sign, has a shorter spelling or none.
    for first in 0xed..=0xff {
        for last in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (first, last);
            assert_eq!(PublicKey::accept(&bytes), Err(KeyError::NotCanonical), "y = p + {}", first - 0xed);
        }
    }
    // Near misses of that range are refused or accepted for their own merits.
    let mut below = [0xff; 32];
    (below[0], below[31]) = (0xec, 0x7f);
    assert_eq!(PublicKey::accept(&below), Err(KeyError::SmallOrder), "y = p - 1");
    for position in 1..31 {
        let mut bytes = [0xff; 32];
        (bytes[position], bytes[31]) = (0xfe, 0x7f);
        assert_ne!(
            PublicKey::accept(&bytes),
            Err(KeyError::NotCanonical),
            "reduced: byte {position} is lower"
        );
    }

    let mut off_curve = [0; 32];
    off_curve[0] = 2;
    assert_eq!(PublicKey::accept(&off_curve), Err(KeyError::NotOnCurve), "y = 2");
}

#[test]
fn key_and_signature_text_has_one_spelling() {
    let key = SecretKey::from_seed(&[1; 32]);
    let public = key.public_key();
    let text = public.to_string();
    assert_eq!(text.len(), 44);
    assert_eq!(text.parse::<PublicKey>(), Ok(public));
    let refused = [
        ("empty", String::new()),
        ("no padding", text.trim_end_matches('=').into()),
        ("space before", format!(" {text}")),
        ("line feed after", format!("{text}\n")),
        ("33 bytes", b64::encode(&[1; 33])),
        ("31 bytes", b64::encode(&[1; 31])),
        ("hexadecimal", public.key_id().to_string()),
    ];
    for (name, text) in refused {
        assert!(matches!(text.parse::<PublicKey>(), Err(ParseKeyError::Base64(_))), "case: {name}");
    }
    assert_eq!(b64::encode(&[0; 32]).parse::<PublicKey>(), Err(ParseKeyError::Key(KeyError::SmallOrder)));

    let signature = key.sign(b"m").unwrap();
    assert_eq!(signature.to_string().parse::<Signature>(), Ok(signature));
    for length in [0, 63, 65] {
        let error = b64::encode(&vec![0; length]).parse::<Signature>();
        assert_eq!(error, Err(Base64Error::Length { expected: 64, found: length }));
    }
}

#[test]
fn signature_fails_after_any_single_bit_flip() {
    let key = SecretKey::from_seed(&[2; 32]);
    let (public, signature) = (key.public_key(), key.sign(b"message").unwrap());
    assert_eq!(public.verify_strict(b"message", &signature), Ok(()));
    for bit in 0..512 {
        let mut bytes = *signature.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            public.verify_strict(b"message", &Signature::new(bytes)),
            Err(SignatureError),
            "bit {bit}"
        );
    }
    for bit in 0..56 {
        let mut message = *b"message";
        message[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(public.verify_strict(&message, &signature), Err(SignatureError), "bit {bit}");
    }
    let other = SecretKey::from_seed(&[3; 32]).public_key();
    assert_eq!(other.verify_strict(b"message", &signature), Err(SignatureError));
}

#[test]
fn every_kind_of_signer_makes_the_same_signature() {
    let dalek = ed25519_dalek::SigningKey::from_bytes(&[4; 32]);
    let adapter = WithPublicKey { public_key: dalek.public_key(), signer: dalek.clone() };
    let secret = SecretKey::from_seed(&[4; 32]);
    let signers: [&dyn SignerKey; 4] = [&dalek, &adapter, &secret, &&secret];
    let want = secret.sign(b"m").unwrap();
    for signer in signers {
        assert_eq!(signer.public_key(), secret.public_key());
        assert_eq!(signer.sign(b"m").unwrap(), want);
    }
    assert_eq!(secret.expose_seed(), &[4; 32]);
    assert_eq!(PublicKey::accept(secret.public_key().as_bytes()), Ok(secret.public_key()));
}

#[test]
fn secret_key_does_not_show_its_seed() {
    let shown = format!("{:?}", SecretKey::from_seed(&[0xab; 32]));
    assert!(shown.starts_with("SecretKey(redacted"), "{shown}");
    assert!(!shown.contains("ab, ab") && !shown.contains("171") && !shown.contains("abab"), "{shown}");
}

#[test]
fn key_id_is_sha256_of_the_raw_key() {
    let key = SecretKey::from_seed(&[9; 32]).public_key();
    let id = "dbc298251c51321b7266e78d1c151c2b62aff8cb95b293096d3463018544face";
    assert_eq!(key.key_id().to_string(), id);
}

#[test]
fn wycheproof_verdicts_are_met() {
    let Some(suite) = json("wycheproof/ed25519_test.json") else { return };
    let mut count = 0;
    for group in suite["testGroups"].as_array().unwrap() {
        let key = hex(group["publicKey"]["pk"].as_str().unwrap());
        for test in group["tests"].as_array().unwrap() {
            let verdict = strict_verdict(
                &key,
                &hex(test["msg"].as_str().unwrap()),
                &hex(test["sig"].as_str().unwrap()),
            );
            assert_eq!(verdict, test["result"] == "valid", "tcId {}: {}", test["tcId"], test["comment"]);
            count += 1;
        }
    }
    assert_eq!(Some(count), suite["numberOfTests"].as_u64());
}

#[test]
fn cctv_verdicts_follow_the_flags() {
    let Some(suite) = json("cctv-ed25519/ed25519vectors.json") else { return };
    let mut accepted = 0;
    for test in suite.as_array().unwrap() {
        let text = |member: &str| test[member].as_str().unwrap();
        let flags = test["flags"].as_array().map_or(&[][..], Vec::as_slice);
        let want =
            flags.iter().all(|flag| flag == "low_order_component_A" || flag == "low_order_component_R");
        let (key, signature) = (hex(text("key")), hex(text("sig")));
        assert_eq!(strict_verdict(&key, text("msg").as_bytes(), &signature), want, "{}", test["number"]);

        // A key with any weakness that the flags name is refused at enrolment, whatever it signs.
        let weak = ["low_order_A", "low_order_component_A", "non_canonical_A"];
        let is_weak = flags.iter().any(|flag| weak.iter().any(|weak| flag == weak));
        assert_eq!(PublicKey::accept(&key.try_into().unwrap()).is_err(), is_weak, "{}", test["number"]);
        accepted += usize::from(want);
    }
    assert_eq!(accepted, 43);
}

#[test]
fn speccheck_accepts_index_3_only() {
    let Some(cases) = json("ed25519-speccheck/cases.json") else { return };
    for (index, case) in cases.as_array().unwrap().iter().enumerate() {
        let bytes = |member: &str| hex(case[member].as_str().unwrap());
        let verdict = strict_verdict(&bytes("pub_key"), &bytes("message"), &bytes("signature"));
        assert_eq!(verdict, index == 3, "case {index}");
    }
}
