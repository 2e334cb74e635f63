//! AWS's published test vectors, as the crate `aws-sigv4` ships them: what its signer must make, this verifier must
//! take.

use std::path::{Path, PathBuf};
use std::process::Command;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use super::canonical::Canonical;
use super::signing_key::{Scope, derive};
use super::{ALGORITHM, presigned, tag};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SCOPE: Scope<'_> = Scope {
    day: "20150830",
    region: "us-east-1",
    service: "service",
};

fn suite() -> PathBuf {
    // Other platforms' dependencies need not be there.
    let host = Command::new(env!("CARGO")).arg("-vV").output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let answer = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--filter-platform",
            host,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(answer.status.success(), "cargo metadata: {answer:?}");
    let metadata: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|package| package["name"] == "aws-sigv4")
        .unwrap();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    manifest.with_file_name("aws-signing-test-suite").join("v4")
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn read(text: &str) -> Request {
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let mut lines = head.lines();
    let line = lines.next().unwrap();
    let (method, rest) = line.split_once(' ').unwrap();
    let target = rest.strip_suffix(" HTTP/1.1").unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut folded: Vec<String> = Vec::new();
    for line in lines {
        match folded.last_mut() {
            // RFC 9112, section 5.2: a line that begins with a space goes on with the one before.
            Some(last) if line.starts_with(' ') => last.push_str(line),
            _ => folded.push(line.to_owned()),
        }
    }
    let mut headers = HeaderMap::new();
    for line in folded {
        let (name, value) = line.split_once(':').unwrap();
        let name: HeaderName = name.to_ascii_lowercase().parse().unwrap();
        headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: body.as_bytes().to_vec(),
    }
}

fn signature(canonical: &[u8]) -> String {
    let hash = hex::encode(Sha256::digest(canonical));
    let text =
        format!("{ALGORITHM}\n20150830T123600Z\n20150830/us-east-1/service/aws4_request\n{hash}");
    hex::encode(tag(&derive(SECRET, SCOPE), text.as_bytes()))
}

fn check(name: &str, dir: &Path, form: &str) {
    let file =
        |kind: &str| std::fs::read_to_string(dir.join(format!("{form}-{kind}.txt"))).unwrap();
    let request = read(&file("signed-request"));
    let signed_headers = match form {
        "header" => {
            let text = request.headers["authorization"]
                .to_str()
                .unwrap()
                .to_owned();
            text.split("SignedHeaders=")
                .nth(1)
                .unwrap()
                .split(',')
                .next()
                .unwrap()
                .to_owned()
        }
        _ => {
            let found = request
                .query
                .split('&')
                .find_map(|p| p.strip_prefix("X-Amz-SignedHeaders="));
            found.unwrap().replace("%3B", ";")
        }
    };
    let canonical = Canonical {
        method: &request.method,
        path: &request.path,
        query: &request.query,
        without: (form == "query").then_some(presigned::SIGNATURE),
        headers: &request.headers,
        authority: None,
        signed_headers: &signed_headers,
        payload_hash: &hex::encode(Sha256::digest(&request.body)),
    };
    let bytes = canonical.to_bytes().unwrap();
    assert_eq!(
        String::from_utf8(bytes.clone()).unwrap(),
        file("canonical-request"),
        "{name}, {form}"
    );
    assert_eq!(
        signature(&bytes),
        file("signature").trim(),
        "{name}, {form}"
    );
}

#[test]
fn aws_test_vectors_verify() {
    let mut checked = 0;
    for entry in std::fs::read_dir(suite()).unwrap() {
        let dir = entry.unwrap().path();
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        // Two vectors of the crate's own have no context; paths that are not normalised are those of S3 alone.
        let Ok(context) = std::fs::read_to_string(dir.join("context.json")) else {
            continue;
        };
        let context: serde_json::Value = serde_json::from_str(&context).unwrap();
        if context["normalize"] == false {
            continue;
        }
        // This one's canonical query has the token, which that client appends after signing.
        let token_appended = context["omit_session_token"] == true;
        check(&name, &dir, "header");
        if !token_appended {
            check(&name, &dir, "query");
        }
        checked += 1;
    }
    assert!(checked >= 30, "only {checked} vectors were found");
}
