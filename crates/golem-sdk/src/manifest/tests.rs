//! The keys and certificates were made for these tests with `openssl`, and so were the signatures of the manifest.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::*;

const TEXT: &str = include_str!("tests/manifest.json");
const BASE64: &str = include_str!("tests/manifest.json.base64");
/// Of the base64, as it has to be.
const SIGNATURE: &[u8] = include_bytes!("tests/manifest.signature");
/// Of the JSON, a common mistake.
const WRONG_SIGNATURE: &[u8] = include_bytes!("tests/manifest.json.signature");
const ROOT: &str = include_str!("tests/root.cert.pem");
const LEAF: &str = include_str!("tests/leaf.cert.pem");
const LEAF_KEY: &str = include_str!("tests/leaf.key.pem");
const LEAF_KEY_PKCS1: &str = include_str!("tests/leaf.pkcs1.pem");
const LEAF_KEY_ENCRYPTED: &str = include_str!("tests/leaf.encrypted.pem");
const ROOT_KEY: &str = include_str!("tests/root.key.pem");
const EC_KEY: &str = include_str!("tests/ec.key.pem");

fn now() -> Timestamp {
    "2026-11-22T00:00:00Z".parse().unwrap()
}

fn image() -> Image {
    Image { hash: "a1".repeat(28), url: "http://images.example/curl.gvmi".to_owned() }
}

fn weather() -> Manifest {
    Manifest::new(&image(), now()).named("weather", "1.2.0").outbound(["https://api.weather.example"])
}

fn decoded(text: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(text).unwrap()
}

/// Is it signed as a provider checks it: the base64 of the manifest, by the key of the last certificate?
fn is_signed(sealed: &SealedManifest) -> bool {
    let properties = sealed.properties();
    let text = |name: &str| properties.text(name).unwrap().to_owned();
    assert_eq!(text("golem.srv.comp.payload.sig.algorithm"), "sha256");
    let pem = decoded(&text("golem.srv.comp.payload.cert"));
    let chain: Vec<CertificateDer<'_>> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().unwrap();
    let last = webpki::EndEntityCert::try_from(chain.last().unwrap()).unwrap();
    last.verify_signature(
        webpki::ring::RSA_PKCS1_2048_8192_SHA256,
        text("golem.srv.comp.payload").as_bytes(),
        &decoded(&text("golem.srv.comp.payload.sig")),
    )
    .is_ok()
}

#[test]
fn a_manifest_comes_back_with_all_that_was_in_it() {
    let manifest = Manifest::from_json(TEXT).unwrap();
    assert_eq!(manifest.check(now()), Ok(()));
    let again: Value = serde_json::from_str(&manifest.to_json().unwrap()).unwrap();
    let mut expected: Value = serde_json::from_str(TEXT).unwrap();
    // The same instants without their empty fractions.
    expected["createdAt"] = json!("2022-07-26T12:51:00Z");
    expected["expiresAt"] = json!("2100-01-01T00:01:00Z");
    assert_eq!(again, expected);
    assert_eq!(Manifest::from_json(manifest.to_json().unwrap()).unwrap(), manifest);
    assert_eq!(Manifest::from_json(format!("\u{feff}{TEXT}")).unwrap(), manifest);
}

#[test]
fn a_small_manifest_is_enough() {
    let text = r#"{"version": "0.0.0", "createdAt": "2022-12-01T00:00:00.000000Z",
        "expiresAt": "2100-01-01T00:00:00.000000Z",
        "payload": [{"urls": ["http://images.example/a"], "hash": "sha3:e5f5ddfd649525dbe25d93d9ed51d1bdd0849933d9a5720adb4b5810"}]}"#;
    let manifest = Manifest::from_json(text).unwrap();
    assert_eq!(manifest.check(now()), Ok(()));
    assert!(manifest.asks_outbound().is_none());
    let printed: Value = serde_json::from_str(&manifest.to_json().unwrap()).unwrap();
    assert_eq!(printed.as_object().unwrap().len(), 4, "{printed}");
}

#[test]
fn a_generated_manifest_says_what_providers_read() {
    let manifest = weather().expires("2027-01-01T00:00:00Z".parse().unwrap());
    let expected = json!({
        "version": "1.2.0",
        "createdAt": "2026-11-22T00:00:00Z",
        "expiresAt": "2027-01-01T00:00:00Z",
        "metadata": {"name": "weather", "version": "1.2.0"},
        "payload": [{
            "platform": {"arch": "x86_64", "os": "linux"},
            "urls": ["http://images.example/curl.gvmi"],
            "hash": format!("sha3:{}", "a1".repeat(28)),
        }],
        "compManifest": {
            "version": "0.0.0",
            "script": {"commands": ["run .*", "transfer .*"], "match": "regex"},
            "net": {"inet": {"out": {"urls": ["https://api.weather.example"]}}},
        },
    });
    assert_eq!(serde_json::to_value(&manifest).unwrap(), expected);
    assert_eq!(manifest.check(now()), Ok(()));

    let open = weather()
        .unrestricted()
        .protocols(["https"])
        .platform("aarch64", "linux")
        .commands(["run /bin/date"], Match::Strict);
    assert_eq!(open.check(now()), Ok(()));
    let open = serde_json::to_value(&open).unwrap();
    assert_eq!(
        open["compManifest"]["net"]["inet"]["out"],
        json!({"protocols": ["https"], "unrestricted": {"urls": true}})
    );
    assert_eq!(open["compManifest"]["script"], json!({"commands": ["run /bin/date"], "match": "strict"}));
    assert_eq!(open["payload"][0]["platform"]["arch"], "aarch64");
}

#[test]
fn a_generated_manifest_lets_files_be_transferred() {
    // Providers refuse every command that no line of the script allows, transfers too.
    let script = Manifest::new(&image(), now()).comp_manifest.unwrap().script.unwrap();
    assert!(script.commands.contains(&"transfer .*".to_owned()));
    assert_eq!(script.arguments, Some(Match::Regex));
}

#[test]
fn what_providers_would_refuse_is_found_before_they_see_it() {
    type Change = fn(Manifest) -> Manifest;
    let out = |manifest: &mut Manifest, change: fn(&mut InetOut)| {
        let net = manifest.comp_manifest.as_mut().unwrap().net.as_mut().unwrap();
        change(net.inet.as_mut().unwrap().out.as_mut().unwrap());
    };
    let with_out = move |change: fn(&mut InetOut)| {
        let mut manifest = weather();
        out(&mut manifest, change);
        manifest
    };
    let cases: [(Change, &str); 11] = [
        (|m| m.named("a", "1.2"), "the version `1.2` must have three parts, such as 1.0.0"),
        (
            |m| m.expires("2026-11-21T00:00:00Z".parse().unwrap()),
            "it expires at 2026-11-21T00:00:00Z, before it was made",
        ),
        (
            |m| Manifest {
                created_at: "2020-01-01T00:00:00Z".parse().unwrap(),
                ..m.expires("2021-01-01T00:00:00Z".parse().unwrap())
            },
            "it expired at 2021-01-01T00:00:00Z",
        ),
        (|m| Manifest { payload: Vec::new(), ..m }, "it has no image"),
        (
            |m| Manifest::new(&Image { hash: "55aa".into(), ..image() }, m.created_at),
            "the image's hash `sha3:55aa` must be",
        ),
        (
            |m| Manifest::new(&Image { url: "images/a".into(), ..image() }, m.created_at),
            "`images/a` in payload.urls is not a valid address",
        ),
        (
            |m| m.outbound(["api.weather.example"]),
            "`api.weather.example` in net.inet.out.urls is not a valid address",
        ),
        (
            |m| m.outbound(["ftp://a.example"]),
            "`ftp://a.example` in net.inet.out.urls has the protocol ftp, which isn't among",
        ),
        (|m| m.protocols(["gopher"]), "`gopher` is not a valid protocol"),
        (|m| m.commands(["/bin/date"], Match::Strict), "`/bin/date` in `script.commands` must begin with"),
        (|m| m.commands([""; 0], Match::Strict), "`script.commands` is empty"),
    ];
    for (change, words) in cases {
        let problem = change(weather()).check(now()).unwrap_err().to_string();
        assert!(problem.starts_with(words), "{problem}");
    }
    let both = with_out(|out| out.unrestricted = Some(Unrestricted { urls: true }));
    let neither = with_out(|out| out.urls = None);
    let not_true = with_out(|out| {
        out.urls = None;
        out.unrestricted = Some(Unrestricted { urls: false });
    });
    for manifest in [both, neither, not_true] {
        assert_eq!(manifest.check(now()), Err(ManifestProblem::Access));
    }
    let by_https = weather().protocols(["wss"]).check(now()).unwrap_err();
    assert!(by_https.to_string().ends_with("has the protocol https, which isn't among wss"), "{by_https}");
}

#[test]
fn a_manifest_given_as_text_is_encoded_once() {
    let from_json = SealedManifest::from_text(TEXT).unwrap();
    let from_base64 = SealedManifest::from_text(BASE64).unwrap();
    assert_eq!(from_json, from_base64);
    assert_eq!(from_json.properties().text("golem.srv.comp.payload"), Some(BASE64));
    assert_eq!(decoded(from_json.encoded()), TEXT.as_bytes());
    // Broken lines are part of what was signed.
    let broken = format!("{}\n{}\n", &BASE64[..76], &BASE64[76..]);
    assert_eq!(SealedManifest::from_text(&broken).unwrap().encoded(), broken);
    for nonsense in ["", "manifest.json", "bm90aGluZw==", "[1]", "\u{1f4a5}"] {
        let problem = SealedManifest::from_text(nonsense).unwrap_err();
        assert!(matches!(problem, ManifestError::Encoding), "{nonsense}: {problem}");
    }
    let other = SealedManifest::from_text("{}").unwrap_err();
    assert!(matches!(other, ManifestError::Json(_)), "{other}");
}

#[test]
fn a_manifest_is_signed_as_providers_check_it() {
    for key in [LEAF_KEY, LEAF_KEY_PKCS1] {
        let key = SigningKey::from_pem(key).unwrap();
        // Most chains begin with the owner, Golem's end with it.
        for chain in [LEAF.to_owned(), format!("{LEAF}{ROOT}"), format!("{ROOT}{LEAF}")] {
            let sealed = weather().sign(&key, &Certificates::from_pem(&chain).unwrap()).unwrap();
            assert!(is_signed(&sealed));
            assert_eq!(sealed.capabilities(), ["inet", "manifest-support"]);
        }
    }
    let key = SigningKey::from_pem(ROOT_KEY).unwrap();
    let other = weather().sign(&key, &Certificates::from_pem(LEAF).unwrap()).unwrap_err();
    assert!(matches!(other, ManifestError::OtherKey), "{other}");
}

#[test]
fn openssl_makes_the_same_signature() {
    let key = SigningKey::from_pem(LEAF_KEY).unwrap();
    let certificates = Certificates::from_pem(format!("{ROOT}{LEAF}")).unwrap();
    let ours = SealedManifest::from_text(BASE64).unwrap().sign(&key, &certificates).unwrap();
    let Proof::Signature { signature, certificate, .. } = ours.proof() else { panic!("{ours:?}") };
    assert_eq!(decoded(signature), SIGNATURE);
    assert_eq!(String::from_utf8(decoded(certificate)).unwrap(), format!("{ROOT}{LEAF}"));
}

#[test]
fn a_signature_may_be_made_elsewhere() {
    let sealed = || SealedManifest::from_text(TEXT).unwrap();
    let der = decoded(&LEAF.lines().filter(|line| !line.starts_with('-')).collect::<String>());
    let encoded = format!("{}\n", BASE64_STANDARD.encode(SIGNATURE));
    let certificates =
        [LEAF.into(), format!("{ROOT}{LEAF}").into_bytes(), BASE64_STANDARD.encode(LEAF).into(), der];
    for certificate in certificates {
        for signature in [SIGNATURE, encoded.as_bytes()] {
            let signed = sealed().signature(signature, "sha256", &certificate).unwrap();
            let properties = signed.properties();
            assert_eq!(decoded(properties.text("golem.srv.comp.payload.sig").unwrap()), SIGNATURE);
            assert_eq!(properties.text("golem.srv.comp.payload"), Some(BASE64));
        }
    }
    assert!(is_signed(&sealed().signature(SIGNATURE, "sha256", LEAF).unwrap()));
}

#[test]
fn a_signature_of_something_else_is_found_before_providers_see_it() {
    let sealed = || SealedManifest::from_text(TEXT).unwrap();
    let of_the_json = sealed().signature(WRONG_SIGNATURE, "sha256", LEAF).unwrap_err();
    assert!(matches!(of_the_json, ManifestError::Signature), "{of_the_json}");
    let of_another = sealed().signature(SIGNATURE, "sha256", format!("{LEAF}{ROOT}")).unwrap_err();
    assert!(matches!(of_another, ManifestError::Signature), "{of_another}");
    let changed = SealedManifest::from_text(TEXT.replace("sunny", "rainy")).unwrap();
    assert!(changed.signature(SIGNATURE, "sha256", LEAF).is_err());
    // Facts that can't be checked here are for providers to judge.
    sealed().signature(SIGNATURE, "sm3", LEAF).unwrap();
    sealed().signature(SIGNATURE, "sha256", r#"{"$schema": "golem"}"#).unwrap();
}

#[test]
fn a_node_descriptor_is_a_proof_too() {
    let descriptor =
        json!({"nodeDescriptor": {"nodeId": "0x1", "permissions": "all"}, "signature": {"value": "a"}});
    let sealed = SealedManifest::from_text(TEXT).unwrap().node_descriptor(descriptor);
    assert_eq!(sealed.capabilities(), ["inet"]);
    let properties = sealed.properties();
    assert_eq!(properties.text(&format!("{NODE_DESCRIPTOR}.nodeDescriptor.nodeId")), Some("0x1"));
    assert_eq!(properties.get("golem.srv.comp.payload.sig"), None);
}

#[test]
fn a_manifest_without_addresses_asks_for_no_internet() {
    let sealed = Manifest::new(&image(), now()).seal().unwrap();
    assert_eq!(sealed.capabilities(), ["manifest-support"]);
    assert_eq!(sealed.proof(), &Proof::None);
    assert_eq!(sealed.properties().len(), 1);
}

#[test]
fn keys_that_cant_sign_say_why() {
    let problem = |pem: &str| SigningKey::from_pem(pem).unwrap_err();
    assert!(matches!(problem(LEAF_KEY_ENCRYPTED), ManifestError::Passphrase));
    for pem in [EC_KEY, LEAF, "", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        assert!(matches!(problem(pem), ManifestError::Key(_)), "{pem}");
    }
    assert!(!format!("{:?}", SigningKey::from_pem(LEAF_KEY).unwrap()).contains("RsaKeyPair"));
    for pem in ["", LEAF_KEY] {
        let problem = Certificates::from_pem(pem).unwrap_err();
        assert!(matches!(problem, ManifestError::Certificate(_)), "{problem}");
    }
}

#[tokio::test]
async fn all_of_it_may_be_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let key = SigningKey::load(write("key.pem", LEAF_KEY)).await.unwrap();
    let certificates = Certificates::load(write("cert.pem", LEAF)).await.unwrap();
    let manifest = Manifest::load(write("manifest.json", TEXT)).await.unwrap();
    assert_eq!(manifest, Manifest::from_json(TEXT).unwrap());
    let sealed = SealedManifest::load(write("manifest.base64", BASE64)).await.unwrap();
    assert!(is_signed(&sealed.sign(&key, &certificates).unwrap()));
    let missing = Manifest::load(folder.path().join("none.json")).await.unwrap_err();
    assert!(missing.to_string().ends_with("none.json can't be read"), "{missing}");
}
