//! Topics and their webhooks.

use hearth_types::ErrorKind;
use hearth_types::wire::topic::{Topic, Webhook};

use super::{World, kind, scope};
use crate::PageRequest;

pub(super) fn topic(webhooks: &[(&str, Option<&str>)]) -> Topic {
    let webhooks = webhooks.iter().map(|(url, secret)| Webhook {
        url: Some((*url).to_owned()),
        secret: secret.map(str::to_owned),
    });
    Topic {
        webhooks: Some(webhooks.collect()),
        ..Topic::default()
    }
}

impl World {
    pub(super) async fn topic(
        &self,
        name: &str,
        request: Topic,
    ) -> Result<Topic, hearth_types::ApiError> {
        let name = name.parse().unwrap();
        self.registry.put_topic(&self.scope, name, request).await
    }

    /// The secrets that a topic's webhooks are signed with.
    fn secrets(&self, name: &str) -> Vec<String> {
        let id = self.scope.topic_id(name.parse().unwrap());
        let record = self.registry.topic(&id).unwrap();
        record.webhooks.iter().map(|w| w.secret.reveal()).collect()
    }
}

fn shown(topic: &Topic) -> Vec<Option<String>> {
    let webhooks = topic.webhooks.iter().flatten();
    webhooks.map(|webhook| webhook.secret.clone()).collect()
}

const OWN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test]
async fn secrets_are_made_shown_once_and_kept() {
    let world = World::new().await;
    let made = world
        .topic(
            "alerts",
            topic(&[
                ("https://a.example/", None),
                ("https://b.example/", Some(OWN)),
            ]),
        )
        .await
        .unwrap();
    assert_eq!(
        made.topic_arn.as_deref(),
        Some("arn:aws:sns:us-east-1:000000000000:alerts")
    );
    let first = world.secrets("alerts");
    assert_eq!(shown(&made), [Some(first[0].clone()), None]);
    assert_eq!(first[1], OWN);

    let name = || "alerts".parse().unwrap();
    let found = world.registry.get_topic(&world.scope, name()).unwrap();
    assert_eq!(shown(&found), [None, None]);
    assert!(!format!("{found:?}{made:?}").contains(&first[0]));

    // In another order, one without its secret, and one more.
    let again = topic(&[
        ("https://b.example/", None),
        ("https://a.example/", None),
        ("https://c.example/", None),
    ]);
    let again = world.topic("alerts", again).await.unwrap();
    let second = world.secrets("alerts");
    assert_eq!(second[..2], [OWN.to_owned(), first[0].clone()]);
    assert_eq!(shown(&again), [None, None, Some(second[2].clone())]);

    let restarted = world.restarted().await;
    let found = restarted.get_topic(&world.scope, name()).unwrap();
    assert_eq!(found.revision_id, again.revision_id);
    assert_eq!(found.creation_time, made.creation_time);
    world
        .registry
        .delete_topic(&world.scope, name(), None)
        .await
        .unwrap();
    let gone = world.registry.get_topic(&world.scope, name());
    assert_eq!(kind(gone), ErrorKind::ResourceNotFound);
}

#[tokio::test]
async fn revisions_and_owners_are_respected() {
    let world = World::new().await;
    let expecting = |revision: &str| Topic {
        revision_id: Some(revision.to_owned()),
        ..topic(&[])
    };
    let made = world.topic("t", expecting("NEW")).await.unwrap();
    assert_eq!(
        kind(world.topic("t", expecting("NEW")).await),
        ErrorKind::ResourceConflict
    );
    assert_eq!(
        kind(world.topic("t", expecting("other")).await),
        ErrorKind::PreconditionFailed
    );
    let known = made.revision_id.unwrap();
    world.topic("t", expecting(&known)).await.unwrap();
    let stale = world
        .registry
        .delete_topic(&world.scope, "t".parse().unwrap(), Some(&known));
    assert_eq!(kind(stale.await), ErrorKind::PreconditionFailed);
    for other in [
        scope("111111111111", "us-east-1"),
        scope("000000000000", "eu-west-1"),
    ] {
        let found = world.registry.get_topic(&other, "t".parse().unwrap());
        assert_eq!(kind(found), ErrorKind::ResourceNotFound);
        let listed = world.registry.list_topics(&other, &PageRequest::default());
        assert!(listed.unwrap().topics.is_empty());
    }
}

#[tokio::test]
async fn topics_are_listed_in_pages() {
    let world = World::new().await;
    for name in ["c", "a", "b"] {
        world.topic(name, topic(&[])).await.unwrap();
    }
    let mut marker = None;
    let mut names = Vec::new();
    loop {
        let page = PageRequest {
            marker,
            max_items: Some(2),
        };
        let page = world.registry.list_topics(&world.scope, &page).unwrap();
        names.extend(page.topics.into_iter().filter_map(|topic| topic.name));
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c"]);
}

#[tokio::test]
async fn what_can_not_be_had_is_refused() {
    let world = World::new().await;
    let many: Vec<String> = (0..17).map(|n| format!("https://{n}.example")).collect();
    let many: Vec<_> = many.iter().map(|url| (url.as_str(), None)).collect();
    for bad in [
        topic(&[("http://example.com", None)]),
        topic(&[("", None)]),
        topic(&[("http://127.0.0.1:8080/", None)]),
        topic(&[("https://localhost/", None)]),
        topic(&[("https://[::1]/", None)]),
        topic(&[("https://a.example", Some("secret"))]),
        topic(&[("https://a.example", Some("whsec_c2hvcnQ="))]),
        topic(&[("https://a.example", None), ("https://a.example", None)]),
        topic(&many),
        Topic {
            name: Some("other".to_owned()),
            ..topic(&[])
        },
    ] {
        let error = world.topic("t", bad.clone()).await.unwrap_err();
        let expected = [ErrorKind::Validation, ErrorKind::InvalidParameterValue];
        assert!(expected.contains(&error.kind), "{bad:?}: {error}");
        assert!(!error.message.contains("c2hvcnQ="), "{error}");
    }
    let found = world.registry.get_topic(&world.scope, "t".parse().unwrap());
    assert_eq!(kind(found), ErrorKind::ResourceNotFound);
}
