//! Function URLs and resource policies.

use hearth_types::ErrorKind;
use hearth_types::function_url::UrlId;
use hearth_types::name::Qualifier;
use hearth_types::wire::lambda::{
    AddPermissionRequest, Cors, CreateAliasRequest, FunctionUrlConfig, FunctionUrlConfigRequest,
    PublishVersionRequest,
};

use super::World;
use crate::{PageRequest, Registry};

fn none() -> FunctionUrlConfigRequest {
    FunctionUrlConfigRequest {
        auth_type: Some("NONE".to_owned()),
        ..FunctionUrlConfigRequest::default()
    }
}

fn permission(id: &str, action: &str) -> AddPermissionRequest {
    AddPermissionRequest {
        statement_id: Some(id.to_owned()),
        action: Some(action.to_owned()),
        principal: Some("*".to_owned()),
        ..AddPermissionRequest::default()
    }
}

impl World {
    async fn url(&self, qualifier: Option<&str>) -> (UrlId, FunctionUrlConfig) {
        let qualifier: Option<Qualifier> = qualifier.map(|text| text.parse().unwrap());
        let created = self
            .registry
            .create_function_url(
                &self.scope,
                &"f".parse().unwrap(),
                qualifier.as_ref(),
                none(),
            )
            .await
            .unwrap();
        (created.id(), created.into_response("http://u/".to_owned()))
    }

    async fn allow(&self, id: &str, action: &str, qualifier: Option<&Qualifier>) {
        self.registry
            .add_permission(
                &self.scope,
                &"f".parse().unwrap(),
                qualifier,
                permission(id, action),
            )
            .await
            .unwrap();
    }

    async fn live_alias(&self) -> Qualifier {
        let f = "f".parse().unwrap();
        self.registry
            .publish_version(&self.scope, &f, PublishVersionRequest::default())
            .await
            .unwrap();
        let request = CreateAliasRequest {
            name: Some("live".to_owned()),
            function_version: Some("1".to_owned()),
            ..CreateAliasRequest::default()
        };
        self.registry
            .create_alias(&self.scope, &f, request)
            .await
            .unwrap();
        "live".parse().unwrap()
    }
}

fn is_open(registry: &Registry, id: &UrlId) -> bool {
    registry.function_url(id).unwrap().is_open()
}

#[tokio::test]
async fn a_url_is_found_by_its_identifier_as_long_as_it_is_there() {
    let world = World::new().await;
    world.function("f").await;
    let f = "f".parse().unwrap();
    let (id, shown) = world.url(None).await;
    assert_eq!(shown.auth_type, "NONE");
    assert_eq!(shown.invoke_mode, "BUFFERED");
    assert_eq!(shown.last_modified_time, None);
    let found = world.registry.function_url(&id).unwrap();
    assert_eq!(found.key().name.as_str(), "f");
    let resolved = found.resolve(|| panic!("no alias, no draw")).unwrap();
    assert!(resolved.invoked_arn().ends_with(":function:f"));

    let error = world
        .registry
        .create_function_url(&world.scope, &f, None, none())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::ResourceConflict);
    // A restart changes nothing.
    assert!(world.restarted().await.function_url(&id).is_some());
    world
        .registry
        .delete_function_url(&world.scope, &f, None)
        .await
        .unwrap();
    assert!(world.registry.function_url(&id).is_none());
    let (again, _) = world.url(None).await;
    assert_ne!(again, id);
    world
        .registry
        .delete_function(&world.scope, &f, None)
        .await
        .unwrap();
    assert!(world.registry.function_url(&again).is_none());
    assert!(world.restarted().await.function_url(&again).is_none());
}

#[tokio::test]
async fn everyone_is_let_in_only_by_both_permissions() {
    let world = World::new().await;
    world.function("f").await;
    let f = "f".parse().unwrap();
    let (id, _) = world.url(None).await;
    assert!(!is_open(&world.registry, &id));
    world.allow("a", "lambda:InvokeFunctionUrl", None).await;
    assert!(!is_open(&world.registry, &id));
    world.allow("b", "lambda:InvokeFunction", None).await;
    assert!(is_open(&world.registry, &id));
    assert!(is_open(&world.restarted().await, &id));

    let policy = world.registry.get_policy(&world.scope, &f, None).unwrap();
    assert!(policy.policy.contains("\"Sid\":\"b\""), "{}", policy.policy);
    let stale = world
        .registry
        .remove_permission(&world.scope, &f, None, "a", Some("x"))
        .await;
    assert_eq!(stale.unwrap_err().kind, ErrorKind::PreconditionFailed);
    for id in ["a", "b"] {
        world
            .registry
            .remove_permission(&world.scope, &f, None, id, None)
            .await
            .unwrap();
    }
    assert!(!is_open(&world.registry, &id));
    let gone = world.registry.get_policy(&world.scope, &f, None);
    assert_eq!(gone.unwrap_err().kind, ErrorKind::ResourceNotFound);

    // With AWS_IAM nobody is let in unsigned, whatever the policy says.
    world.allow("c", "*", None).await;
    assert!(is_open(&world.registry, &id));
    let request = FunctionUrlConfigRequest {
        auth_type: Some("AWS_IAM".to_owned()),
        ..FunctionUrlConfigRequest::default()
    };
    let updated = world
        .registry
        .update_function_url(&world.scope, &f, None, request)
        .await
        .unwrap();
    assert_eq!(updated.id(), id);
    assert!(!is_open(&world.registry, &id));
    let url = world.registry.function_url(&id).unwrap();
    assert!(url.lets_in(&"000000000000".parse().unwrap()));
    assert!(url.lets_in(&"111111111111".parse().unwrap()));
}

#[tokio::test]
async fn another_account_needs_the_policy() {
    let world = World::new().await;
    world.function("f").await;
    let (id, _) = world.url(None).await;
    let url = world.registry.function_url(&id).unwrap();
    assert!(url.lets_in(&"000000000000".parse().unwrap()));
    assert!(!url.lets_in(&"111111111111".parse().unwrap()));
}

#[tokio::test]
async fn an_alias_takes_its_url_and_policy_along() {
    let world = World::new().await;
    world.function("f").await;
    let f = "f".parse().unwrap();
    let live = world.live_alias().await;
    let (id, shown) = world.url(Some("live")).await;
    let (own, _) = world.url(None).await;
    assert!(shown.function_arn.ends_with(":f:live"));
    // The policy of the function is not the alias's.
    world.allow("a", "*", None).await;
    assert!(!is_open(&world.registry, &id));
    world.allow("a", "*", Some(&live)).await;
    assert!(is_open(&world.registry, &id));
    let resolved = world.registry.function_url(&id).unwrap().resolve(|| 0.5);
    assert!(resolved.unwrap().invoked_arn().ends_with(":f:live"));

    let (page, next) = world
        .registry
        .list_function_urls(
            &world.scope,
            &f,
            &PageRequest {
                marker: None,
                max_items: Some(1),
            },
        )
        .unwrap();
    assert_eq!(page[0].id(), own);
    let (page, next) = world
        .registry
        .list_function_urls(
            &world.scope,
            &f,
            &PageRequest {
                marker: next,
                max_items: None,
            },
        )
        .unwrap();
    assert_eq!((page.len(), page[0].id(), next), (1, id, None));

    world
        .registry
        .delete_alias(&world.scope, &f, "live")
        .await
        .unwrap();
    assert!(world.registry.function_url(&id).is_none());
    assert!(world.registry.function_url(&own).is_some());
    // A new alias of that name begins with nothing.
    let request = CreateAliasRequest {
        name: Some("live".to_owned()),
        function_version: Some("1".to_owned()),
        ..CreateAliasRequest::default()
    };
    world
        .registry
        .create_alias(&world.scope, &f, request)
        .await
        .unwrap();
    let policy = world.registry.get_policy(&world.scope, &f, Some(&live));
    assert_eq!(policy.unwrap_err().kind, ErrorKind::ResourceNotFound);
}

#[tokio::test]
async fn what_can_not_be_had_is_refused() {
    let world = World::new().await;
    world.function("f").await;
    let f = "f".parse().unwrap();
    let cors = |cors: Cors| FunctionUrlConfigRequest {
        cors: Some(cors),
        ..none()
    };
    let list = |text: &str| Some(vec![text.to_owned()]);
    for (request, kind) in [
        (FunctionUrlConfigRequest::default(), ErrorKind::Validation),
        (
            FunctionUrlConfigRequest {
                auth_type: Some("none".to_owned()),
                ..FunctionUrlConfigRequest::default()
            },
            ErrorKind::Validation,
        ),
        (
            FunctionUrlConfigRequest {
                invoke_mode: Some("STREAM".to_owned()),
                ..none()
            },
            ErrorKind::Validation,
        ),
        (
            cors(Cors {
                max_age: Some(86_401),
                ..Cors::default()
            }),
            ErrorKind::Validation,
        ),
        (
            cors(Cors {
                allow_methods: list("OPTIONS"),
                ..Cors::default()
            }),
            ErrorKind::Validation,
        ),
        (
            cors(Cors {
                allow_methods: list("TRACE"),
                ..Cors::default()
            }),
            ErrorKind::InvalidParameterValue,
        ),
        (
            cors(Cors {
                allow_headers: list("a\r\nb"),
                ..Cors::default()
            }),
            ErrorKind::InvalidParameterValue,
        ),
        (
            cors(Cors {
                allow_origins: list("site.example"),
                ..Cors::default()
            }),
            ErrorKind::InvalidParameterValue,
        ),
        (
            cors(Cors {
                allow_origins: Some(vec!["https://a".to_owned(); 101]),
                ..Cors::default()
            }),
            ErrorKind::Validation,
        ),
    ] {
        let error = world
            .registry
            .create_function_url(&world.scope, &f, None, request.clone())
            .await
            .unwrap_err();
        assert_eq!(error.kind, kind, "{request:?}: {error}");
    }
    for (qualifier, kind) in [
        ("1", ErrorKind::Validation),
        ("$LATEST", ErrorKind::Validation),
        ("nowhere", ErrorKind::ResourceNotFound),
    ] {
        let error = world
            .registry
            .create_function_url(&world.scope, &f, Some(&qualifier.parse().unwrap()), none())
            .await
            .unwrap_err();
        assert_eq!(error.kind, kind, "{qualifier}");
    }
    let missing = world.registry.get_function_url(&world.scope, &f, None);
    assert_eq!(missing.unwrap_err().kind, ErrorKind::ResourceNotFound);

    let some = |text: &str| Some(text.to_owned());
    let good = || permission("s", "lambda:InvokeFunction");
    for (request, kind) in [
        (AddPermissionRequest::default(), ErrorKind::Validation),
        (
            AddPermissionRequest {
                statement_id: some("a b"),
                ..good()
            },
            ErrorKind::Validation,
        ),
        (
            AddPermissionRequest {
                action: some("s3:GetObject"),
                ..good()
            },
            ErrorKind::Validation,
        ),
        (
            AddPermissionRequest {
                principal: some("nobody"),
                ..good()
            },
            ErrorKind::InvalidParameterValue,
        ),
        (
            AddPermissionRequest {
                function_url_auth_type: some("NONE"),
                ..good()
            },
            ErrorKind::InvalidParameterValue,
        ),
        (
            AddPermissionRequest {
                invoked_via_function_url: Some(true),
                ..permission("s", "lambda:InvokeFunctionUrl")
            },
            ErrorKind::InvalidParameterValue,
        ),
        (
            AddPermissionRequest {
                revision_id: some("x"),
                ..good()
            },
            ErrorKind::PreconditionFailed,
        ),
    ] {
        let error = world
            .registry
            .add_permission(&world.scope, &f, None, request.clone())
            .await
            .unwrap_err();
        assert_eq!(error.kind, kind, "{request:?}: {error}");
    }
}

#[tokio::test]
async fn a_policy_does_not_grow_for_ever() {
    let world = World::new().await;
    world.function("f").await;
    let f = "f".parse().unwrap();
    let mut refused = None;
    for n in 0..200 {
        let request = permission(&format!("statement-{n}"), "lambda:InvokeFunction");
        let added = world
            .registry
            .add_permission(&world.scope, &f, None, request)
            .await;
        if let Err(error) = added {
            refused = Some(error.kind);
            break;
        }
    }
    assert_eq!(refused, Some(ErrorKind::PolicyLengthExceeded));
}
