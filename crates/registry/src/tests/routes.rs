//! Routes and their keys.

use hearth_store::StoreError;
use hearth_types::ErrorKind;
use hearth_types::name::RouteName;
use hearth_types::route::HostPattern;
use hearth_types::wire::route::{
    Auth, FixedResponse, HeaderEdits, Jwt, NEW, RateLimit, Rewrite, Route, RouteKeyRequest, Target,
};
use http::Method;

use super::{World, scope};
use crate::{Found, PageRequest, Scope};

fn name(text: &str) -> RouteName {
    text.parse().unwrap()
}

fn to(function: &str, path: &str) -> Route {
    Route {
        hosts: Some(vec!["api.example.com".to_owned()]),
        path: Some(path.to_owned()),
        target: Some(Target {
            function_name: Some(function.to_owned()),
            ..Target::default()
        }),
        ..Route::default()
    }
}

fn fixed(path: &str) -> Route {
    Route {
        target: Some(Target {
            response: Some(FixedResponse::default()),
            ..Target::default()
        }),
        ..to("", path)
    }
}

impl World {
    async fn put(&self, name_: &str, route: Route) -> Result<Route, ErrorKind> {
        let put = self
            .registry
            .put_route(&self.scope, name(name_), route, nowhere);
        put.await.map_err(|error| error.kind)
    }
}

fn nowhere(_: &HostPattern) -> Option<String> {
    None
}

fn found(world: &World, path: &str) -> Option<String> {
    let site = world.registry.site("api.example.com")?;
    match site.find(&Method::GET, path) {
        Found::Route(found) => Some(found.route.id().name.to_string()),
        _ => None,
    }
}

#[tokio::test]
async fn a_route_is_seen_changed_and_gone() {
    let world = World::new().await;
    world.function("f").await;
    let made = world.put("r", to("f", "/a")).await.unwrap();
    assert_eq!(made.name.as_deref(), Some("r"));
    assert_eq!(found(&world, "/a").unwrap(), "r");
    let got = world.registry.get_route(&world.scope, name("r")).unwrap();
    assert_eq!(got, made);
    // What is shown can be put back.
    let again = world
        .put(
            "r",
            Route {
                path: Some("/b".to_owned()),
                ..got
            },
        )
        .await
        .unwrap();
    assert_ne!(again.revision_id, made.revision_id);
    assert_eq!(again.creation_time, made.creation_time);
    assert_eq!(
        (found(&world, "/a"), found(&world, "/b").is_some()),
        (None, true)
    );
    // The one that was seen first is not there any more.
    let stale = Route {
        revision_id: made.revision_id.clone(),
        ..to("f", "/c")
    };
    assert_eq!(
        world.put("r", stale).await.unwrap_err(),
        ErrorKind::PreconditionFailed
    );
    let new = Route {
        revision_id: Some(NEW.to_owned()),
        ..to("f", "/c")
    };
    assert_eq!(
        world.put("r", new.clone()).await.unwrap_err(),
        ErrorKind::ResourceConflict
    );
    world.put("s", new).await.unwrap();
    let restarted = world.restarted().await;
    assert!(restarted.site("api.example.com").is_some());
    let delete = |revision: Option<&'static str>| {
        world
            .registry
            .delete_route(&world.scope, name("r"), revision)
    };
    assert_eq!(
        delete(Some("x")).await.unwrap_err().kind,
        ErrorKind::PreconditionFailed
    );
    delete(None).await.unwrap();
    assert_eq!(
        delete(None).await.unwrap_err().kind,
        ErrorKind::ResourceNotFound
    );
    assert_eq!(found(&world, "/b"), None);
}

#[tokio::test]
async fn a_refused_commit_changes_nothing() {
    let world = World::new().await;
    world.function("f").await;
    world.store.fail_next(StoreError::Full("disk".to_owned()));
    assert_eq!(
        world.put("r", to("f", "/a")).await.unwrap_err(),
        ErrorKind::ServiceUnavailable
    );
    assert_eq!(found(&world, "/a"), None);
    // Another node has made a route meanwhile: it is read, and the decision is made again.
    let other = World::new().await;
    other.function("f").await;
    other.put("theirs", to("f", "/a")).await.unwrap();
    let theirs = other.store.contents().routes;
    world.store.edit(|contents| contents.routes = theirs);
    world
        .store
        .fail_next(StoreError::Conflict("another node".to_owned()));
    assert_eq!(
        world.put("r", to("f", "/a")).await.unwrap_err(),
        ErrorKind::ResourceConflict
    );
    assert_eq!(found(&world, "/a").unwrap(), "theirs");
}

#[tokio::test]
async fn a_route_leads_to_what_is_there() {
    let world = World::new().await;
    let missing = world.put("r", to("f", "/a")).await;
    assert_eq!(missing.unwrap_err(), ErrorKind::ResourceNotFound);
    world.function("f").await;
    let mut aliased = to("f", "/a");
    aliased.target.as_mut().unwrap().qualifier = Some("live".to_owned());
    assert_eq!(
        world.put("r", aliased).await.unwrap_err(),
        ErrorKind::ResourceNotFound
    );
    world
        .put(
            "r",
            to("arn:aws:lambda:us-east-1:000000000000:function:f", "/a"),
        )
        .await
        .unwrap();
    let site = world.registry.site("api.example.com").unwrap();
    let Found::Route(found) = site.find(&Method::GET, "/a") else {
        panic!("it is there");
    };
    let resolve = || world.registry.resolve_route(&found.route, || 0.0);
    assert_eq!(resolve().unwrap().unwrap().key().name.as_str(), "f");
    let function = "f".parse().unwrap();
    world
        .registry
        .delete_function(&world.scope, &function, None)
        .await
        .unwrap();
    assert_eq!(resolve().unwrap_err().kind, ErrorKind::ResourceNotFound);
    let theirs = to("arn:aws:lambda:us-east-1:111111111111:function:f", "/a");
    assert_eq!(
        world.put("s", theirs).await.unwrap_err(),
        ErrorKind::AccessDenied
    );
}

#[tokio::test]
async fn lists_have_pages_and_one_owner() {
    let world = World::new().await;
    for n in 0..5 {
        world
            .put(&format!("r{n}"), fixed(&format!("/{n}")))
            .await
            .unwrap();
    }
    let other: Scope = scope("000000000000", "eu-west-1");
    let elsewhere = world
        .registry
        .put_route(&other, name("r9"), fixed("/9"), nowhere);
    elsewhere.await.unwrap();
    let mut names = Vec::new();
    let mut page = PageRequest {
        marker: None,
        max_items: Some(2),
    };
    loop {
        let (routes, next) = world.registry.list_routes(&world.scope, &page).unwrap();
        names.extend(routes.into_iter().filter_map(|route| route.name));
        if next.is_none() {
            break;
        }
        page.marker = next;
    }
    assert_eq!(names, ["r0", "r1", "r2", "r3", "r4"]);
    assert_eq!(
        world
            .registry
            .list_routes(&other, &PageRequest::default())
            .unwrap()
            .0
            .len(),
        1
    );
}

#[tokio::test]
async fn the_api_s_hosts_are_no_route_s() {
    let world = World::new().await;
    let of_api = |host: &HostPattern| {
        host.takes("api.example.com")
            .then(|| "the API is there".to_owned())
    };
    let put = world
        .registry
        .put_route(&world.scope, name("r"), fixed("/a"), of_api);
    let error = put.await.unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_ref()),
        (ErrorKind::InvalidParameterValue, "the API is there")
    );
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused() {
    let world = World::new().await;
    world.function("f").await;
    let base = || to("f", "/a/{id}/{*rest}");
    let any = |path: &str| Route {
        hosts: None,
        ..fixed(path)
    };
    let auth = |auth: Auth| Route {
        auth: Some(auth),
        ..base()
    };
    let typed = |kind: &str| Auth {
        r#type: Some(kind.to_owned()),
        ..Auth::default()
    };
    let jwt = |jwt: Jwt| {
        auth(Auth {
            jwt: Some(jwt),
            ..typed("JWT")
        })
    };
    let good_jwt = || Jwt {
        issuer: Some("https://i.example".to_owned()),
        audiences: vec!["a".to_owned()],
        ..Jwt::default()
    };
    let set = |name: &str, value: &str| HeaderEdits {
        set: [(name.to_owned(), value.to_owned())].into(),
        remove: Vec::new(),
    };
    let rate = |rate: f64, burst| {
        Some(RateLimit {
            requests_per_second: Some(rate),
            burst,
        })
    };
    let respond = |response: FixedResponse| Route {
        target: Some(Target {
            response: Some(response),
            ..Target::default()
        }),
        ..base()
    };
    let rewrite = |strip: Option<&str>, path: Option<&str>| Route {
        rewrite: Some(Rewrite {
            strip_prefix: strip.map(str::to_owned),
            path: path.map(str::to_owned),
        }),
        ..base()
    };
    let bad: Vec<(&str, Route)> = vec![
        (
            "no path",
            Route {
                path: None,
                ..base()
            },
        ),
        (
            "no target",
            Route {
                target: None,
                ..base()
            },
        ),
        (
            "both targets",
            Route {
                target: Some(Target {
                    function_name: Some("f".to_owned()),
                    response: Some(FixedResponse::default()),
                    ..Target::default()
                }),
                ..base()
            },
        ),
        (
            "another name",
            Route {
                name: Some("other".to_owned()),
                ..base()
            },
        ),
        (
            "an address",
            Route {
                hosts: Some(vec!["10.0.0.1".to_owned()]),
                ..base()
            },
        ),
        (
            "* and another",
            Route {
                hosts: Some(vec!["*".to_owned(), "a.b".to_owned()]),
                ..fixed("/x")
            },
        ),
        (
            "many hosts",
            Route {
                hosts: Some((0..30).map(|n| format!("h{n}.x")).collect()),
                ..base()
            },
        ),
        ("the root for all hosts", any("/")),
        ("everything for all hosts", any("/{*rest}")),
        ("a capture first for all hosts", any("/{a}/b")),
        ("the Lambda API", any("/2015-03-31/functions")),
        ("links to packages", any("/_hearth/packages/x")),
        ("function URLs", any("/_url/x")),
        ("escaped", any("/%68ealth")),
        ("health", any("/health")),
        ("this API", any("/hearth/{*rest}")),
        (
            "a method",
            Route {
                methods: Some(vec!["get".to_owned()]),
                ..base()
            },
        ),
        (
            "CONNECT",
            Route {
                methods: Some(vec!["CONNECT".to_owned()]),
                ..base()
            },
        ),
        (
            "a status",
            respond(FixedResponse {
                status_code: Some(101),
                ..FixedResponse::default()
            }),
        ),
        (
            "a large body",
            respond(FixedResponse {
                body: Some("x".repeat(70_000)),
                ..FixedResponse::default()
            }),
        ),
        (
            "not base64",
            respond(FixedResponse {
                body: Some("!".to_owned()),
                is_base64_encoded: Some(true),
                ..FixedResponse::default()
            }),
        ),
        (
            "a body of a 204",
            respond(FixedResponse {
                status_code: Some(204),
                body: Some("x".to_owned()),
                ..FixedResponse::default()
            }),
        ),
        (
            "framing",
            respond(FixedResponse {
                headers: [("content-length".to_owned(), "1".to_owned())].into(),
                ..FixedResponse::default()
            }),
        ),
        (
            "a rewrite of nothing",
            Route {
                rewrite: Some(Rewrite {
                    path: Some("/".to_owned()),
                    ..Rewrite::default()
                }),
                ..fixed("/x")
            },
        ),
        ("half a segment", rewrite(Some("/a/{id}"), None)),
        ("another prefix", rewrite(Some("/b"), None)),
        ("both rewrites", rewrite(Some("/a"), Some("/b"))),
        ("neither rewrite", rewrite(None, None)),
        ("an unknown capture", rewrite(None, Some("/{other}"))),
        ("a query", rewrite(None, Some("/b?c=d"))),
        ("injection", rewrite(None, Some("/b\r\nx: y"))),
        (
            "a platform's field",
            Route {
                request_headers: Some(set("x-hearth-account", "1")),
                ..base()
            },
        ),
        (
            "a runtime's field",
            Route {
                request_headers: Some(set("lambda-runtime-trace-id", "1")),
                ..base()
            },
        ),
        (
            "host",
            Route {
                request_headers: Some(set("Host", "x")),
                ..base()
            },
        ),
        (
            "forwarded",
            Route {
                request_headers: Some(set("x-forwarded-for", "x")),
                ..base()
            },
        ),
        (
            "length",
            Route {
                response_headers: Some(set("Content-Length", "1")),
                ..base()
            },
        ),
        (
            "two lines",
            Route {
                response_headers: Some(set("x-a", "b\r\nc: d")),
                ..base()
            },
        ),
        (
            "no name",
            Route {
                response_headers: Some(set("x a", "b")),
                ..base()
            },
        ),
        (
            "no rate",
            Route {
                rate_limit: Some(RateLimit::default()),
                ..base()
            },
        ),
        (
            "a rate of 0",
            Route {
                rate_limit: rate(0.0, None),
                ..base()
            },
        ),
        (
            "a rate that is no number",
            Route {
                rate_limit: rate(f64::NAN, None),
                ..base()
            },
        ),
        (
            "a rate that never ends",
            Route {
                caller_rate_limit: rate(f64::INFINITY, None),
                ..base()
            },
        ),
        (
            "a burst of 0",
            Route {
                caller_rate_limit: rate(1.0, Some(0)),
                ..base()
            },
        ),
        ("no type", auth(Auth::default())),
        ("an unknown type", auth(typed("none"))),
        (
            "keys of a token",
            auth(Auth {
                api_keys: vec!["k".to_owned()],
                ..typed("JWT")
            }),
        ),
        (
            "a token's rules for keys",
            auth(Auth {
                jwt: Some(good_jwt()),
                ..typed("API_KEY")
            }),
        ),
        ("tokens of nobody", auth(typed("JWT"))),
        (
            "an issuer in the clear",
            jwt(Jwt {
                issuer: Some("http://i.example".to_owned()),
                ..good_jwt()
            }),
        ),
        (
            "keys in the clear",
            jwt(Jwt {
                jwks_url: Some("http://10.0.0.1/".to_owned()),
                ..good_jwt()
            }),
        ),
        (
            "tokens for anybody",
            jwt(Jwt {
                audiences: Vec::new(),
                ..good_jwt()
            }),
        ),
        (
            "a scope with a space",
            jwt(Jwt {
                scopes: vec!["a b".to_owned()],
                ..good_jwt()
            }),
        ),
        (
            "a claim that is a list",
            jwt(Jwt {
                claims: [("c".to_owned(), serde_json::json!([1]))].into(),
                ..good_jwt()
            }),
        ),
    ];
    for (what, route) in bad {
        let error = world.put("r", route).await.expect_err(what);
        assert!(
            matches!(
                error,
                ErrorKind::InvalidParameterValue | ErrorKind::Validation
            ),
            "{what}: {error:?}"
        );
    }
    let unknown_key = auth(Auth {
        api_keys: vec!["k".to_owned()],
        ..typed("API_KEY")
    });
    assert_eq!(
        world.put("r", unknown_key).await.unwrap_err(),
        ErrorKind::ResourceNotFound
    );
    assert!(world.store.contents().routes.is_empty());
    world.put("r", jwt(good_jwt())).await.unwrap();
}

#[tokio::test]
async fn keys_let_in_who_has_them() {
    let world = World::new().await;
    let (registry, scope_) = (&world.registry, &world.scope);
    let asked = RouteKeyRequest::default();
    let made = registry.create_route_key(&world.scope, name("k"), &asked);
    let made = made.await.unwrap();
    let secret = made.secret.clone().unwrap();
    let known = registry.route_key_of(secret.as_bytes()).unwrap();
    assert_eq!((known.id(), known.name().as_str()), (made.id.as_str(), "k"));
    assert!(known.is_beside(&world.scope.route_id(name("r"))));
    assert!(!known.is_beside(&scope("000000000000", "eu-west-1").route_id(name("r"))));
    // The secret is nowhere.
    let got = registry.get_route_key(&world.scope, name("k")).unwrap();
    assert_eq!(got.secret, None);
    assert!(!format!("{:?}", world.store.contents()).contains(&secret));
    for at in 0..secret.len() {
        let mut changed = secret.clone().into_bytes();
        changed[at] ^= 1;
        assert!(registry.route_key_of(&changed).is_none(), "byte {at}");
    }
    for bad in ["", "hk_", &secret[1..], &format!("{secret}x")] {
        assert!(registry.route_key_of(bad.as_bytes()).is_none(), "{bad}");
    }
    let twice = registry.create_route_key(&world.scope, name("k"), &asked);
    assert_eq!(twice.await.unwrap_err().kind, ErrorKind::ResourceConflict);

    let enable = |enabled| {
        let request = RouteKeyRequest {
            enabled: Some(enabled),
            ..RouteKeyRequest::default()
        };
        async move { registry.update_route_key(scope_, name("k"), &request).await }
    };
    assert!(!enable(false).await.unwrap().enabled);
    assert!(registry.route_key_of(secret.as_bytes()).is_none());
    enable(true).await.unwrap();
    assert!(
        world
            .restarted()
            .await
            .route_key_of(secret.as_bytes())
            .is_some()
    );

    let mut guarded = fixed("/a");
    guarded.auth = Some(Auth {
        r#type: Some("API_KEY".to_owned()),
        api_keys: vec!["k".to_owned()],
        ..Auth::default()
    });
    world.put("r", guarded).await.unwrap();
    let delete = || registry.delete_route_key(&world.scope, name("k"), None);
    let error = delete().await.unwrap_err();
    assert!(
        error.kind == ErrorKind::ResourceInUse && error.message.contains("'r'"),
        "{error}"
    );
    registry
        .delete_route(&world.scope, name("r"), None)
        .await
        .unwrap();
    delete().await.unwrap();
    assert!(registry.route_key_of(secret.as_bytes()).is_none());
    assert!(
        registry
            .list_route_keys(&world.scope, &PageRequest::default())
            .unwrap()
            .0
            .is_empty()
    );
}

#[tokio::test]
async fn a_function_s_records_know_of_no_route() {
    // Routes are beside functions: none of the function's own records knows of them.
    let world = World::new().await;
    world.function("f").await;
    let before = world.store.contents().functions;
    world.put("r", to("f", "/a")).await.unwrap();
    assert_eq!(world.store.contents().functions, before);
}
