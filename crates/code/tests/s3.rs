//! S3 as the home of packages and as a source of them, against a server that speaks as much of S3 as is needed.
#![cfg(feature = "s3")]
#![allow(clippy::unwrap_used, reason = "a test stops where it can't go on")]

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hearth_code::{CodeError, Options, PackageStore, Packages, SourceError, StoreUrl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Objects by `bucket/key`.
type Objects = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

async fn serve(listener: TcpListener, objects: Objects) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(converse(stream, objects.clone()));
    }
}

async fn converse(mut stream: TcpStream, objects: Objects) {
    let mut buffer = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8(buffer[..head_end].to_vec()).unwrap();
        let length: usize = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0);
        while buffer.len() < head_end + length {
            stream.read_buf(&mut buffer).await.unwrap();
        }
        let body = buffer[head_end..head_end + length].to_vec();
        buffer.drain(..head_end + length);
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        // The secret key is used, and not sent.
        assert!(
            head.to_ascii_lowercase()
                .contains("authorization: aws4-hmac-sha256 credential=key/")
        );
        assert!(!head.contains("secret-of-the-test"));
        let (status, answer) = answer(method, target, body, &objects);
        let text = format!(
            "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nETag: \"e\"\r\n\r\n",
            answer.len()
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        if method != "HEAD" {
            stream.write_all(&answer).await.unwrap();
        }
    }
}

fn answer(method: &str, target: &str, body: Vec<u8>, objects: &Objects) -> (u16, Vec<u8>) {
    let mut objects = objects.lock().unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.trim_start_matches('/').to_owned();
    let error = |code: &str| {
        (
            404,
            format!("<Error><Code>{code}</Code></Error>").into_bytes(),
        )
    };
    let bucket = path.split('/').next().unwrap();
    match (method, bucket) {
        ("GET", "private") => (403, b"<Error><Code>AccessDenied</Code></Error>".to_vec()),
        (_, bucket) if !matches!(bucket, "home" | "theirs") => error("NoSuchBucket"),
        ("PUT", _) => {
            objects.insert(path, body);
            (200, Vec::new())
        }
        ("DELETE", _) => {
            objects.remove(&path);
            (204, Vec::new())
        }
        // Removal of several at once.
        ("POST", _) => {
            let body = String::from_utf8(body).unwrap();
            let mut deleted = String::new();
            for part in body.split("<Key>").skip(1) {
                let key = part.split("</Key>").next().unwrap();
                objects.remove(&format!("{bucket}/{key}"));
                deleted += &format!("<Deleted><Key>{key}</Key></Deleted>");
            }
            (
                200,
                format!("<DeleteResult>{deleted}</DeleteResult>").into_bytes(),
            )
        }
        ("GET", _) if query.contains("list-type=2") => {
            let contents: String = objects
                .iter()
                .filter_map(|(path, bytes)| Some((path.strip_prefix("home/")?, bytes.len())))
                .map(|(key, size)| {
                    format!(
                        "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                         <ETag>\"e\"</ETag><Size>{size}</Size></Contents>"
                    )
                })
                .collect();
            let list = format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
            );
            (200, list.into_bytes())
        }
        ("GET" | "HEAD", _) => objects
            .get(&path)
            .map_or_else(|| error("NoSuchKey"), |bytes| (200, bytes.clone())),
        _ => (405, Vec::new()),
    }
}

fn zip() -> Bytes {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer
        .start_file("a.py", zip::write::SimpleFileOptions::default())
        .unwrap();
    writer.write_all(b"pass").unwrap();
    writer.finish().unwrap().into_inner().into()
}

#[tokio::test]
async fn packages_live_in_s3_and_come_from_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let objects = Objects::default();
    tokio::spawn(serve(listener, objects.clone()));
    let url = |url: &str| StoreUrl {
        url: url.into(),
        options: [
            ("aws_endpoint", endpoint.as_str()),
            ("aws_allow_http", "true"),
            ("aws_region", "us-east-1"),
            ("aws_access_key_id", "key"),
            ("aws_secret_access_key", "secret-of-the-test"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
    };
    assert!(!format!("{:?}", url("s3://home")).contains("secret-of-the-test"));
    let dir = tempfile::tempdir().unwrap();
    let open = async || {
        Packages::open(Options {
            packages: PackageStore::Url(url("s3://home/code")),
            cache_dir: dir.path().join("cache"),
            cache_bytes: 1 << 30,
            source: Some(url("s3://")),
        })
        .await
        .unwrap()
    };
    let packages = open().await;

    let bytes = zip();
    objects
        .lock()
        .unwrap()
        .insert("theirs/v1/code.zip".into(), bytes.to_vec());
    let package = packages
        .put_from_source("theirs", "v1/code.zip", None)
        .await
        .unwrap();
    let home = format!("home/code/{}.zip", package.digest);
    assert_eq!(objects.lock().unwrap().get(&home).unwrap(), &bytes.to_vec());
    assert_eq!(packages.read(&package.digest).await.unwrap(), bytes);
    assert_eq!(packages.stored_bytes().await.unwrap(), package.size);
    let unpacked = packages.unpacked(&package).await.unwrap();
    assert_eq!(
        std::fs::read(unpacked.path().join("a.py")).unwrap(),
        b"pass"
    );

    for (bucket, key, expected) in [
        ("theirs", "none", SourceError::NoSuchKey),
        ("nowhere", "x", SourceError::NoSuchBucket),
        ("private", "x", SourceError::AccessDenied),
    ] {
        match packages.put_from_source(bucket, key, None).await {
            Err(CodeError::Source(error)) => assert_eq!(error, expected),
            other => panic!("{other:?}"),
        }
    }

    objects.lock().unwrap().get_mut(&home).unwrap()[40] ^= 1;
    assert!(matches!(
        packages.read(&package.digest).await,
        Err(CodeError::Damaged(_))
    ));
    let collected = packages
        .collect(&HashSet::new(), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(collected.packages, 1);
    assert!(!objects.lock().unwrap().contains_key(&home));
}
