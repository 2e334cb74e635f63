//! Files of a package that are answers: `[assets]` of `wrangler.toml`. Names, redirects and fields are those of Workers'
//! static assets (their pages on HTML handling, routing and headers).

mod file;
mod kinds;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hearth_types::invoke::Body;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};

use crate::door::said;

/// Files of a package that can be answers. Workers take 20,000.
const MOST_FILES: usize = 20_000;

/// Files that say something to other tools and are no answers.
const NO_ANSWERS: [&str; 3] = ["_headers", "_redirects", ".assetsignore"];

/// What browsers may do with an answer: keep it, and ask each time whether it is still the one.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=0, must-revalidate");

/// How `.html` is left out of paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HtmlHandling {
    /// `/a` is `a.html`, `/a/` is `a/index.html`; other spellings lead there.
    #[default]
    AutoTrailingSlash,
    /// Paths are names of files.
    None,
}

/// What is answered where no file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub(crate) enum NotFound {
    /// 404.
    #[default]
    #[serde(rename = "none")]
    Nothing,
    /// The nearest `404.html`, upwards.
    #[serde(rename = "404-page")]
    Page,
    /// `index.html`, with 200.
    #[serde(rename = "single-page-application")]
    Application,
}

/// Files that can be answers.
#[derive(Debug)]
pub struct Assets {
    folder: PathBuf,
    /// By their paths, with a slash before.
    files: BTreeMap<String, File>,
    html: HtmlHandling,
    not_found: NotFound,
    /// Whether the worker is asked first, and files are for its binding alone.
    pub worker_first: bool,
}

/// A file.
#[derive(Clone, Debug)]
struct File {
    length: u64,
    tag: HeaderValue,
    kind: &'static str,
}

/// What a path is.
#[derive(Debug, PartialEq, Eq)]
enum Found<'a> {
    File(&'a str),
    /// Written otherwise.
    At(String),
    Nothing,
}

impl Assets {
    /// Reads what is below `folder`.
    ///
    /// # Errors
    /// If it can't be read, or are too many files.
    pub(crate) fn read(
        folder: PathBuf,
        html: HtmlHandling,
        not_found: NotFound,
        worker_first: bool,
    ) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        collect(&folder, &folder, &mut files)?;
        Ok(Self {
            folder,
            files,
            html,
            not_found,
            worker_first,
        })
    }

    /// The answer to a request before its worker is asked: a file's, or where it is. `None`: the worker's.
    pub async fn before_the_worker(&self, request: &Parts) -> Option<Response<Body>> {
        if self.worker_first || !matches!(request.method, Method::GET | Method::HEAD) {
            return None;
        }
        match self.find(&path(request)) {
            Found::Nothing => None,
            found => Some(self.response(found, request).await),
        }
    }

    /// The answer to a request by the binding.
    pub(crate) async fn answer(&self, request: &Parts) -> Response<Body> {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let words = "files are for GET and HEAD".to_owned();
            let mut response = said(StatusCode::METHOD_NOT_ALLOWED, words);
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        let path = path(request);
        self.response(self.find(&path), request).await
    }

    async fn response(&self, found: Found<'_>, request: &Parts) -> Response<Body> {
        match found {
            Found::File(name) => self.whole(name, StatusCode::OK, request).await,
            Found::At(path) => {
                let query = request.uri.query().map(|query| format!("?{query}"));
                let path = path + &query.unwrap_or_default();
                let mut response = said(StatusCode::TEMPORARY_REDIRECT, String::new());
                if let Ok(path) = HeaderValue::try_from(path) {
                    response.headers_mut().insert(LOCATION, path);
                }
                response
            }
            Found::Nothing => match self.not_found {
                NotFound::Nothing => said(StatusCode::NOT_FOUND, String::new()),
                NotFound::Application => self.whole("/index.html", StatusCode::OK, request).await,
                NotFound::Page => {
                    let path = path(request);
                    let page = path.rmatch_indices('/').find_map(|(at, _)| {
                        let name = format!("{}/404.html", &path[..at]);
                        self.files.contains_key(&name).then_some(name)
                    });
                    match page {
                        Some(page) => self.whole(&page, StatusCode::NOT_FOUND, request).await,
                        None => said(StatusCode::NOT_FOUND, String::new()),
                    }
                }
            },
        }
    }

    /// A file's answer, or the part of it that is asked for.
    async fn whole(&self, name: &str, status: StatusCode, request: &Parts) -> Response<Body> {
        let Some(file) = self.files.get(name) else {
            return said(StatusCode::NOT_FOUND, String::new());
        };
        let is_known = request
            .headers
            .get(IF_NONE_MATCH)
            .is_some_and(|known| names_tag(known, &file.tag));
        let mut response = if is_known && status == StatusCode::OK {
            said(StatusCode::NOT_MODIFIED, String::new())
        } else {
            let asked = if status == StatusCode::OK && request.method == Method::GET {
                file::range(&request.headers, &file.tag, file.length)
            } else {
                file::Range::Whole
            };
            let path = self.folder.join(name.trim_start_matches('/'));
            file::open(&path, file.length, asked, status, &request.method).await
        };
        let headers: &mut HeaderMap = response.headers_mut();
        headers.insert(ETAG, file.tag.clone());
        headers.insert(CACHE_CONTROL, CACHE);
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.kind));
        response
    }

    fn find(&self, path: &str) -> Found<'_> {
        if !path.starts_with('/') {
            return Found::Nothing;
        }
        let file = |name: &str| {
            self.files
                .get_key_value(name)
                .map(|(name, _)| name.as_str())
        };
        if self.html == HtmlHandling::None {
            return file(path).map_or(Found::Nothing, Found::File);
        }
        // `/a/index.html`, `/a/index` and `/a.html` are written `/a/` and `/a`.
        for (end, instead) in [("/index.html", "/"), ("/index", "/"), (".html", "")] {
            if let Some(stem) = path.strip_suffix(end)
                && file(&if end == "/index" {
                    format!("{path}.html")
                } else {
                    path.to_owned()
                })
                .is_some()
            {
                return Found::At(format!("{stem}{instead}"));
            }
        }
        if let Some(name) = file(path) {
            return Found::File(name);
        }
        let (page, index) = match path.strip_suffix('/') {
            Some(stem) => (format!("{stem}.html"), format!("{path}index.html")),
            None => (format!("{path}.html"), format!("{path}/index.html")),
        };
        let is_folder = path.ends_with('/');
        match (file(&page).filter(|_| path != "/"), file(&index)) {
            (Some(page), _) if !is_folder => Found::File(page),
            (_, Some(index)) if is_folder => Found::File(index),
            (_, Some(_)) => Found::At(format!("{path}/")),
            (Some(_), None) => Found::At(path.trim_end_matches('/').to_owned()),
            (None, None) => Found::Nothing,
        }
    }
}

/// A request's path as names of files are written. What is no text is no file's.
fn path(request: &Parts) -> String {
    percent_decode_str(request.uri.path())
        .decode_utf8()
        .map(|path| path.into_owned())
        .unwrap_or_default()
}

/// Whether a list of tags names this one; `W/` makes no difference here (RFC 9110, section 13.1.2).
fn names_tag(list: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(list), Ok(tag)) = (list.to_str(), tag.to_str()) else {
        return false;
    };
    list.split(',')
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_file()
            && let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str)
            && !NO_ANSWERS.contains(&name)
        {
            if files.len() >= MOST_FILES {
                let why = format!("[assets] of wrangler.toml has more than {MOST_FILES} files");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            let mut digest = Sha256::new();
            let length = io::copy(&mut fs::File::open(&path)?, &mut Write(&mut digest))?;
            // Half of the digest is more than enough to tell versions of a file apart.
            let tag = format!("\"{}\"", hex::encode(&digest.finalize()[..16]));
            let file = File {
                length,
                tag: HeaderValue::try_from(tag).map_err(io::Error::other)?,
                kind: kinds::of(name),
            };
            files.insert(format!("/{name}"), file);
        }
    }
    Ok(())
}

/// A digest that is written to.
struct Write<'a>(&'a mut Sha256);

impl io::Write for Write<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assets(
        names: &[&str],
        html: HtmlHandling,
        not_found: NotFound,
    ) -> (tempfile::TempDir, Assets) {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, *name).unwrap();
        }
        let assets = Assets::read(dir.path().to_owned(), html, not_found, false).unwrap();
        (dir, assets)
    }

    #[test]
    fn pages_have_one_path_each() {
        let names = [
            "index.html",
            "a.html",
            "b/index.html",
            "c/d.txt",
            "_headers",
            "e",
            "f/index.html",
            "f.html",
        ];
        let (_dir, assets) = assets(&names, HtmlHandling::AutoTrailingSlash, NotFound::Nothing);
        for (path, found) in [
            ("/", Found::File("/index.html")),
            ("/index.html", Found::At("/".to_owned())),
            ("/index", Found::At("/".to_owned())),
            ("/a", Found::File("/a.html")),
            ("/a.html", Found::At("/a".to_owned())),
            ("/a/", Found::At("/a".to_owned())),
            ("/b/", Found::File("/b/index.html")),
            ("/b", Found::At("/b/".to_owned())),
            ("/b/index.html", Found::At("/b/".to_owned())),
            ("/f", Found::File("/f.html")),
            ("/f/", Found::File("/f/index.html")),
            ("/c/d.txt", Found::File("/c/d.txt")),
            ("/e", Found::File("/e")),
            ("/c/", Found::Nothing),
            ("/c", Found::Nothing),
            ("/_headers", Found::Nothing),
            ("/../a.html", Found::Nothing),
            ("//a", Found::Nothing),
            ("", Found::Nothing),
        ] {
            assert_eq!(assets.find(path), found, "{path}");
        }
    }

    #[test]
    fn without_handling_paths_are_names() {
        let (_dir, assets) = assets(
            &["index.html", "a.html"],
            HtmlHandling::None,
            NotFound::Nothing,
        );
        assert_eq!(assets.find("/a.html"), Found::File("/a.html"));
        assert_eq!(assets.find("/a"), Found::Nothing);
        assert_eq!(assets.find("/"), Found::Nothing);
    }

    #[test]
    fn tags_are_compared_whatever_stands_around_them() {
        let tag = HeaderValue::from_static("\"a\"");
        for (list, same) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
        ] {
            assert_eq!(
                names_tag(&HeaderValue::from_static(list), &tag),
                same,
                "{list}"
            );
        }
    }
}
