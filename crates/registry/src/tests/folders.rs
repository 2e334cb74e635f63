//! Folders of functions: which may be had, what is refused, and that they belong to a version.

use hearth_types::folder::{Access, Folder, Folders};
use hearth_types::wire::lambda::{FileSystemConfig, UpdateFunctionConfigurationRequest};

use super::*;

/// `photos` is for the account of these tests, `letters` for another one.
pub(super) fn folders() -> Folders {
    let folder = |account: &str| Folder {
        path: "/srv/folder".into(),
        access: Access::Read,
        accounts: [account.parse().unwrap()].into(),
    };
    Folders(
        [
            ("photos".parse().unwrap(), folder("000000000000")),
            ("letters".parse().unwrap(), folder("111111111111")),
        ]
        .into(),
    )
}

fn config(of: &str, path: &str) -> FileSystemConfig {
    FileSystemConfig {
        arn: Some(format!("arn:aws:elasticfilesystem:{of}")),
        local_mount_path: Some(path.to_owned()),
    }
}

fn photos(path: &str) -> FileSystemConfig {
    config("us-east-1:000000000000:access-point/photos", path)
}

#[tokio::test]
async fn folders_are_part_of_a_version() {
    let world = World::new().await;
    let two = vec![photos("/mnt/photos"), photos("/mnt/again")];
    let mut request = create("f");
    request.file_system_configs = Some(two.clone());
    request.publish = Some(true);
    let made = world.registry.create_function(&world.scope, request).await;
    assert_eq!(made.unwrap().file_system_configs, Some(two.clone()));
    world.settled("f").await;
    let update = async |configs: Option<Vec<FileSystemConfig>>, description: &str| {
        let request = UpdateFunctionConfigurationRequest {
            file_system_configs: configs,
            description: Some(description.to_owned()),
            ..Default::default()
        };
        let updated = world
            .registry
            .update_function_configuration(&world.scope, &function("f"), request)
            .await;
        world.settled("f").await;
        updated.unwrap().file_system_configs
    };
    assert_eq!(update(None, "a").await, Some(two.clone()), "stays");
    assert_eq!(update(Some(vec![]), "b").await, None);
    let one = Some(vec![photos("/mnt/p")]);
    assert_eq!(update(one.clone(), "c").await, one);
    let first = world.registry.get_function_configuration(
        &world.scope,
        &function("f"),
        Some(&"1".parse().unwrap()),
    );
    assert_eq!(first.unwrap().file_system_configs, Some(two));
}

#[tokio::test]
async fn what_is_no_folder_of_the_function_is_refused() {
    let world = World::new().await;
    let (shape, value) = (ErrorKind::Validation, ErrorKind::InvalidParameterValue);
    let ours = "us-east-1:000000000000:access-point";
    for (configs, expected, says) in [
        (
            vec![FileSystemConfig::default()],
            shape,
            "fileSystemConfigs.1.member.arn",
        ),
        (
            vec![photos("/mnt/..")],
            shape,
            "fileSystemConfigs.1.member.localMountPath",
        ),
        (
            vec![photos("/mnt/a"), photos("/tmp/a")],
            shape,
            "fileSystemConfigs.2.member",
        ),
        (
            vec![photos("/mnt/a/b")],
            shape,
            "regular expression pattern: /mnt/",
        ),
        (
            vec![config("us-east-1:000000000000:file-system/fs-1", "/mnt/a")],
            shape,
            "arn",
        ),
        (
            vec![config(&format!("{ours}/../photos"), "/mnt/a")],
            shape,
            "arn",
        ),
        (
            (0..6).map(|n| photos(&format!("/mnt/{n}"))).collect(),
            shape,
            "equal to 5",
        ),
        (
            vec![config(&format!("{ours}/letters"), "/mnt/a")],
            value,
            "as folders.letters",
        ),
        (
            vec![config(&format!("{ours}/nothing"), "/mnt/a")],
            value,
            "as folders.nothing",
        ),
        (
            vec![config(
                "us-east-1:111111111111:access-point/letters",
                "/mnt/a",
            )],
            value,
            "not of the function's account",
        ),
        (
            vec![config(
                "eu-west-1:000000000000:access-point/photos",
                "/mnt/a",
            )],
            value,
            "not of the function's account",
        ),
        (
            vec![photos("/mnt/a"), photos("/mnt/a")],
            value,
            "LocalMountPath /mnt/a",
        ),
    ] {
        let mut request = create("f");
        request.file_system_configs = Some(configs.clone());
        let refused = world.registry.create_function(&world.scope, request).await;
        let error = refused.unwrap_err();
        assert_eq!(error.kind, expected, "{configs:?}: {error}");
        assert!(error.message.contains(says), "{configs:?}: {error}");
    }
    for runtime in ["wasm", "worker"] {
        let mut request = create("f");
        request.runtime = Some(runtime.to_owned());
        request.file_system_configs = Some(vec![photos("/mnt/a")]);
        let refused = world.registry.create_function(&world.scope, request).await;
        let error = refused.unwrap_err();
        assert_eq!(error.kind, value);
        assert!(error.message.contains("FileSystemConfigs"), "{error}");
    }
}
