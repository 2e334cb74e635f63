//! Folders of a function (`FileSystemConfigs`): which it may have, and where they are inside.

use std::collections::BTreeSet;

use hearth_types::ApiError;
use hearth_types::arn::FolderArn;
use hearth_types::folder::{FolderUse, Folders, MountPath};
use hearth_types::limits::FOLDERS;
use hearth_types::name::FunctionKey;
use hearth_types::wire::lambda::FileSystemConfig;

use crate::constraints::Constraints;

/// Hearth's own: the service's has a hash where a folder has its name.
const ARN_PATTERN: &str = r"arn:aws:elasticfilesystem:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:access-point/[a-zA-Z0-9-_]{1,64}";
/// The service model's.
const PATH_PATTERN: &str = r"/mnt/[a-zA-Z0-9-_.]+";

/// Checks the shape of `FileSystemConfigs`.
pub(crate) fn check_shape(configs: &[FileSystemConfig], constraints: &mut Constraints) {
    if configs.len() > FOLDERS {
        constraints.breach(
            "fileSystemConfigs",
            format_args!("{} members", configs.len()),
            format_args!("Member must have length less than or equal to {FOLDERS}"),
        );
        return;
    }
    for (at, config) in configs.iter().enumerate() {
        let member = |name: &str| format!("fileSystemConfigs.{}.member.{name}", at + 1);
        constraints.required(&member("arn"), config.arn.is_some());
        if let Some(arn) = &config.arn {
            let fits = arn.parse::<FolderArn>().is_ok();
            constraints.pattern(&member("arn"), arn, fits, ARN_PATTERN);
        }
        constraints.required(&member("localMountPath"), config.local_mount_path.is_some());
        if let Some(path) = &config.local_mount_path {
            let member = member("localMountPath");
            constraints.length(&member, path, 0..=MountPath::CHARS);
            constraints.pattern(
                &member,
                path,
                path.parse::<MountPath>().is_ok(),
                PATH_PATTERN,
            );
        }
    }
}

/// The folders that were asked for, once [`check_shape`] has found them good.
///
/// # Errors
/// [`hearth_types::ErrorKind::Validation`] for what it has not.
pub(crate) fn read(configs: &[FileSystemConfig]) -> Result<Vec<FolderUse>, ApiError> {
    let folder = |config: &FileSystemConfig| -> Result<FolderUse, ApiError> {
        Ok(FolderUse {
            arn: config.arn.as_deref().unwrap_or_default().parse()?,
            path: config
                .local_mount_path
                .as_deref()
                .unwrap_or_default()
                .parse()?,
        })
    };
    configs.iter().map(folder).collect()
}

/// Refuses folders that are not there for this function, and two at one place.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`].
pub(crate) fn check(
    key: &FunctionKey,
    folders: &Folders,
    asked: &[FolderUse],
) -> Result<(), ApiError> {
    let mut places = BTreeSet::new();
    for FolderUse { arn, path } in asked {
        if (&arn.account, &arn.region) != (&key.account, &key.region) {
            return Err(ApiError::invalid(format!(
                "The access point {arn} is not of the function's account and region, {} and {}.",
                key.account, key.region
            )));
        }
        if folders.find(arn).is_none() {
            return Err(ApiError::invalid(format!(
                "The access point {arn} is not there: the node has no folder of that name for the account {}. Name it in \
                 its configuration, as folders.{}.",
                arn.account, arn.name
            )));
        }
        if !places.insert(path) {
            return Err(ApiError::invalid(format!(
                "Two FileSystemConfigs have the LocalMountPath {path}. Give each one of its own."
            )));
        }
    }
    Ok(())
}
