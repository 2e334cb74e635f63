//! Functions that are WebAssembly components: what a request must and must not say of them.

use hearth_types::wire::lambda::UpdateFunctionConfigurationRequest;

use super::*;

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MANDATORY: &str = "Runtime and Handler are mandatory";

fn component(name: &str) -> CreateFunctionRequest {
    CreateFunctionRequest {
        runtime: Some("wasm".to_owned()),
        handler: None,
        code: Some(FunctionCode {
            zip_file: Some(Blob(Bytes::from_static(COMPONENT))),
            ..FunctionCode::default()
        }),
        ..create(name)
    }
}

async fn refused(world: &World, request: CreateFunctionRequest) -> String {
    let refused = world.registry.create_function(&world.scope, request).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidParameterValue);
    error.message.into_owned()
}

async fn configure(
    world: &World,
    change: impl FnOnce(&mut UpdateFunctionConfigurationRequest),
) -> Result<FunctionConfiguration, ApiError> {
    let mut request = UpdateFunctionConfigurationRequest::default();
    change(&mut request);
    world
        .registry
        .update_function_configuration(&world.scope, &function("f"), request)
        .await
}

#[tokio::test]
async fn a_component_needs_neither_a_zip_nor_a_handler() {
    let world = World::new().await;
    let request = CreateFunctionRequest {
        architectures: Some(vec!["arm64".to_owned()]),
        ..component("f")
    };
    let created = world.registry.create_function(&world.scope, request).await;
    created.unwrap();
    let function = world.settled("f").await;
    assert_eq!(function.runtime, "wasm");
    assert_eq!(function.state, Some(FunctionState::Active));
    assert_eq!(function.architectures, ["arm64"]);
    // Of what was sent, as it was sent.
    let digest = "JOrzQ5pgyWdkxPLJKgqBtSvU/l1bkfCQGEoPZIaxvyk=";
    assert_eq!(function.code_sha256, digest);
    assert_eq!(function.code_size, COMPONENT.len() as u64);
    let shown = serde_json::to_value(&function).unwrap();
    assert!(shown.get("Handler").is_none(), "{shown}");
}

#[tokio::test]
async fn what_a_component_can_not_have_is_refused_in_words() {
    let world = World::new().await;
    let tagged = |key: &str, value: &str| CreateFunctionRequest {
        tags: Some([(key.to_owned(), value.to_owned())].into()),
        ..component("f")
    };
    let message = refused(&world, tagged("hearth:isolation", "process")).await;
    assert!(message.contains("hearth:isolation=process"), "{message}");
    let message = refused(&world, tagged("hearth:wasm-reuse", "0")).await;
    assert!(message.contains("hearth:wasm-reuse"), "{message}");
    let python = CreateFunctionRequest {
        tags: Some([("hearth:tmp".to_owned(), "private".to_owned())].into()),
        ..create("f")
    };
    let message = refused(&world, python).await;
    assert!(message.contains("hearth:tmp"), "{message}");
    let no_handler = CreateFunctionRequest {
        handler: None,
        ..create("f")
    };
    assert!(refused(&world, no_handler).await.contains(MANDATORY));
}

#[tokio::test]
async fn a_function_that_stops_being_a_component_must_fit_its_new_runtime() {
    let world = World::new().await;
    let request = CreateFunctionRequest {
        tags: Some([("hearth:wasm-reuse".to_owned(), "8".to_owned())].into()),
        ..component("f")
    };
    let created = world.registry.create_function(&world.scope, request).await;
    created.unwrap();
    world.settled("f").await;
    let python = Some("python3.12".to_owned());
    let error = configure(&world, |request| request.runtime = python.clone()).await;
    assert!(error.unwrap_err().message.contains(MANDATORY));
    let both = |request: &mut UpdateFunctionConfigurationRequest| {
        request.runtime = python.clone();
        request.handler = Some("app.handler".to_owned());
    };
    let error = configure(&world, both).await.unwrap_err();
    assert!(error.message.contains("hearth:wasm-reuse"), "{error}");
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    let keys = ["hearth:wasm-reuse".to_owned()];
    world
        .registry
        .untag_resource(&world.scope, arn, &keys)
        .await
        .unwrap();
    configure(&world, both).await.unwrap();
    let function = world.settled("f").await;
    assert_eq!(
        (function.runtime.as_str(), function.handler.as_str()),
        ("python3.12", "app.handler")
    );
}
