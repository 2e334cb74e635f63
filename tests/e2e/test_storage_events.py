"""Storage events on the real binary: what changes in a folder, in an object store and elsewhere reaches functions and
queues in S3's words, and kills and pauses lose nothing."""

import base64
import json
import threading
import urllib.error
import urllib.request
from urllib.parse import quote_plus, unquote_plus

import pytest
from harness import Node, create, messages_of, wait_until

TOKEN = "a-token-of-this-test-alone"
SEES = """
import json
def handler(event, context):
    print("told", json.dumps(event))
"""


def arn_of(queue):
    return f"arn:aws:sqs:us-east-1:000000000000:{queue}"


class Told:
    """A queue and all records that have come to it, in the order in which they came."""

    def __init__(self, node, name):
        self.node, self.name, self.records = node, name, []
        node.client("sqs").create_queue(QueueName=name)

    def all(self):
        for said in messages_of(self.node, self.name):
            self.records += said["Records"]
        return self.records

    def events(self):
        return [(r["eventName"], unquote_plus(r["s3"]["object"]["key"])) for r in self.all()]

    def until(self, *expected):
        wait_until(lambda: set(expected) <= set(self.events()), f"{expected}, there is {self.records}")


def created(key):
    return ("ObjectCreated:Put", key)


def removed(key):
    return ("ObjectRemoved:Delete", key)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture
def watched(new_node, folder, tmp_path):
    """A node that watches a folder, and waits a short time for files to be whole."""
    config = tmp_path / "watch.toml"
    config.write_text(f'[storage.buckets.incoming]\nfolder = "{folder}"\nsettle_ms = 200\n')
    return new_node("--config", config)


def add(node, name, bucket="incoming", target=None, *options):
    node.hearth("notification", "add", name, "--bucket", bucket, "--target", target or arn_of("told"), *options)


def test_files_are_told_of_when_they_come_change_move_and_go(watched, folder):
    (folder / "before").write_text("there before anybody asked")
    told = Told(watched, "told")
    # It is known before the notification is there, once another file shows that the folder was looked at.
    add(watched, "first", "incoming", None, "--prefix", "first")
    (folder / "first").write_text("1")
    told.until(created("first"))
    add(watched, "all")
    watched.hearth("notification", "rm", "first")

    (folder / "in/deep").mkdir(parents=True)
    (folder / "in/deep/a b+ü.txt").write_text("hello")
    told.until(created("in/deep/a b+ü.txt"))
    [record] = [r for r in told.records if "deep" in r["s3"]["object"]["key"]]
    assert record["eventVersion"] == "2.1" and record["eventSource"] == "aws:s3" and record["awsRegion"] == "us-east-1"
    assert record["s3"]["configurationId"] == "all"
    assert record["s3"]["bucket"]["name"] == "incoming" and record["s3"]["bucket"]["arn"] == "arn:aws:s3:::incoming"
    assert record["s3"]["object"]["key"] == "in/deep/a+b%2B%C3%BC.txt"
    assert record["s3"]["object"]["size"] == 5

    (folder / "in").rename(folder / "out")
    told.until(removed("in/deep/a b+ü.txt"), created("out/deep/a b+ü.txt"))
    (folder / "out/deep/a b+ü.txt").write_text("another content")
    (folder / "before").unlink()
    told.until(removed("before"))
    wait_until(lambda: told.events().count(created("out/deep/a b+ü.txt")) == 2, "the change")
    sequencers = [r["s3"]["object"]["sequencer"] for r in told.records if "out" in r["s3"]["object"]["key"]]
    assert sequencers == sorted(sequencers) and len(set(sequencers)) == 2
    assert created("before") not in told.events()


def test_a_file_is_told_of_once_it_is_whole(watched, folder):
    told = Told(watched, "told")
    add(watched, "all")
    with open(folder / "slow", "w") as slow:
        slow.write("first half, ")
        slow.flush()
        # Others come and are told of meanwhile, later than the time for which a file must rest.
        for name in ["one", "two", "three"]:
            (folder / name).write_text(name)
            told.until(created(name))
        assert created("slow") not in told.events()
        slow.write("second half")
    told.until(created("slow"))
    sizes = [r["s3"]["object"]["size"] for r in told.records if r["s3"]["object"]["key"] == "slow"]
    assert sizes == [len("first half, second half")]


def test_links_lead_nowhere(watched, folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    told = Told(watched, "told")
    add(watched, "all")
    (folder / "folder").symlink_to(outside)
    (folder / "file").symlink_to(outside / "secret")
    (outside / "more").write_text("m")
    (folder / "real").write_text("r")
    told.until(created("real"))
    assert told.events() == [created("real")]


def test_filters_choose_and_functions_are_told(watched, folder):
    told = Told(watched, "told")
    lam = watched.client("lambda")
    function = create(lam, "sees", SEES)["FunctionArn"]
    add(watched, "thumbs", "incoming", function, "--event", "s3:ObjectCreated:*", "--prefix", "in/", "--suffix", ".png")
    add(watched, "gone", "incoming", None, "--event", "s3:ObjectRemoved:*")
    (folder / "in").mkdir()
    for name in ["in/a.png", "in/b.jpg", "c.png"]:
        (folder / name).write_text(name)

    def lines():
        log = watched.hearth("logs", "sees", check=False).stdout
        return [json.loads(line[line.index("{"):]) for line in log.splitlines() if "told {" in line]

    [event] = wait_until(lines, "the function's line")
    [record] = event["Records"]
    assert record["s3"]["object"]["key"] == "in/a.png" and record["s3"]["configurationId"] == "thumbs"
    (folder / "in/b.jpg").unlink()
    (folder / "in/a.png").unlink()
    told.until(removed("in/b.jpg"), removed("in/a.png"))
    assert len(lines()) == 1 and len(told.events()) == 2


def test_what_changed_while_no_node_ran_is_told(watched, folder):
    told = Told(watched, "told")
    add(watched, "all")
    for name in ["stays", "changes", "goes"]:
        (folder / name).write_text(name)
    told.until(created("stays"), created("changes"), created("goes"))
    watched.stop()
    (folder / "changes").write_text("another content")
    (folder / "goes").unlink()
    (folder / "new").write_text("new")
    told.records.clear()
    watched.start()
    told.until(created("changes"), removed("goes"), created("new"))
    assert sorted(told.events()) == sorted([created("changes"), removed("goes"), created("new")])


def test_kills_in_the_middle_lose_nothing(watched, folder, tmp_path):
    told = Told(watched, "told")
    add(watched, "all")
    names = [f"{i % 7}/{i:03}" for i in range(500)]

    def drop():
        # Each comes whole: this process may pause in the middle of writing one, and a node that has just started can't know
        # that somebody still writes.
        whole = tmp_path / "whole"
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            whole.write_text(name)
            whole.rename(folder / name)

    writer = threading.Thread(target=drop)
    writer.start()
    for seen in [1, 100, 250]:
        wait_until(lambda: len(told.all()) >= seen, f"{seen} records")
        watched.kill()
        watched.start()
    writer.join()
    told.until(*map(created, names))
    # Targets take a notification in once: not even a kill makes one come again.
    assert sorted(told.events()) == sorted(map(created, names))


def test_too_many_files_are_a_clear_error(new_node, folder, tmp_path):
    config = tmp_path / "few.toml"
    config.write_text(f'[storage.buckets.few]\nfolder = "{folder}"\nsettle_ms = 100\nmost_objects = 3\n')
    for i in range(4):
        (folder / str(i)).write_text("")
    node = new_node("--config", config)
    node.expected_log.append("look what has changed in a folder")
    wait_until(lambda: "raise storage.buckets.few.most_objects" in node.log(), "the error")


def test_an_object_store_is_listed(new_node, folder, tmp_path):
    config = tmp_path / "list.toml"
    config.write_text(f'[storage.buckets.listed]\nurl = "file://{folder}"\ninterval_s = 1\n')
    node = new_node("--config", config)
    told = Told(node, "told")
    add(node, "all", "listed")
    (folder / "a").mkdir()
    (folder / "a/b.txt").write_text("1")
    told.until(created("a/b.txt"))
    node.kill()
    (folder / "a/b.txt").unlink()
    (folder / "c").write_text("22")
    node.start()
    told.until(removed("a/b.txt"), created("c"))
    assert sorted(told.events()) == sorted([created("a/b.txt"), removed("a/b.txt"), created("c")])


def test_an_s3_server_is_listed(new_node, tmp_path):
    """Against a server that speaks S3 over HTTP (moto), with boto3 as the client that changes objects."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        _, port = server.get_host_and_port()
        import boto3

        s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1",
                          aws_access_key_id="key", aws_secret_access_key="secret")
        s3.create_bucket(Bucket="photos")
        config = tmp_path / "s3.toml"
        config.write_text(
            f'[storage.buckets.photos]\nurl = "s3://photos/in"\ninterval_s = 1\n[storage.buckets.photos.options]\n'
            f'aws_endpoint = "http://127.0.0.1:{port}"\naws_allow_http = "true"\naws_region = "us-east-1"\n'
            f'aws_access_key_id = "key"\naws_secret_access_key = "secret"\n'
        )
        node = new_node("--config", config)
        told = Told(node, "told")
        add(node, "all", "photos")
        s3.put_object(Bucket="photos", Key="in/a b.png", Body=b"12345")
        s3.put_object(Bucket="photos", Key="elsewhere", Body=b"")
        told.until(created("a b.png"))
        [record] = told.records
        assert record["s3"]["object"]["size"] == 5
        assert record["s3"]["object"]["eTag"] == "827ccb0eea8a706c4c34a16891f84e7b"
        s3.delete_object(Bucket="photos", Key="in/a b.png")
        told.until(removed("a b.png"))
        assert told.events() == [created("a b.png"), removed("a b.png")]
        node.stop()
    finally:
        server.stop()


def minio(key, sequencer):
    """What MinIO sends for one object (MinIO's documentation, "Publish events to a webhook")."""
    record = {
        "eventVersion": "2.0", "eventSource": "minio:s3", "awsRegion": "", "eventTime": "2026-11-29T06:00:00.000Z",
        "eventName": "s3:ObjectCreated:Put", "userIdentity": {"principalId": "minio"},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "Config",
            "bucket": {"name": "theirs", "ownerIdentity": {"principalId": "minio"}, "arn": "arn:aws:s3:::theirs"},
            "object": {"key": key, "size": 3, "eTag": "e", "sequencer": sequencer},
        },
        "source": {"host": "127.0.0.1"},
    }
    return {"EventName": "s3:ObjectCreated:Put", "Key": f"theirs/{key}", "Records": [record]}


def post(node, bucket, body, authorization=f"Bearer {TOKEN}"):
    request = urllib.request.Request(
        f"{node.endpoint}/hearth/2026-11-01/storage/{bucket}/notifications", data=body.encode(), method="POST",
        headers={"Content-Type": "application/json", **({"Authorization": authorization} if authorization else {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_others_may_tell_with_a_token_and_are_believed_once(new_node, tmp_path):
    config = tmp_path / "theirs.toml"
    config.write_text(f'[storage.buckets.theirs]\ntoken = "{TOKEN}"\n')
    node = new_node("--config", config)
    told = Told(node, "told")
    add(node, "all", "theirs")
    first, second = json.dumps(minio("a%2Fb+c", "17A")), json.dumps(minio("a%2Fb+c", "17B"))
    for body in [first, first, second, first]:
        assert post(node, "theirs", body) == (200, {"Records": 1})
    plain = {"Records": [minio("plain", "18")["Records"][0] | {"eventName": "ObjectRemoved:Delete"}]}
    assert post(node, "theirs", json.dumps(plain))[0] == 200
    told.until(removed("plain"))
    assert sorted(told.events()) == sorted([created("a/b c"), created("a/b c"), removed("plain")])
    assert {r["s3"]["configurationId"] for r in told.records} == {"all"}
    # What senders ask before they begin.
    for body in ["{}", '{"Service": "Amazon S3", "Event": "s3:TestEvent"}']:
        assert post(node, "theirs", body) == (200, {"Records": 0})
    for authorization in [None, "Bearer another-token-than-this", "Bearer ", "Basic dXNlcjpub3Blbm9wZQ=="]:
        assert post(node, "theirs", first, authorization)[0] == 403
    assert post(node, "nobodys", first)[0] == 403
    bad = ["", "[]", '{"Records": 1}', '{"Records": [{}]}', '{"Records": [{"eventName": "x", "s3": 1}]}', first[:-9]]
    for body in bad:
        assert post(node, "theirs", body)[0] == 400, body
    node.kill()
    node.start()
    assert post(node, "theirs", second) == (200, {"Records": 1})
    post(node, "theirs", json.dumps(minio("last", "19")))
    told.until(created("last"))
    assert len(told.events()) == 4


def ceph(key, sequencer):
    """What Ceph sends for one object (its documentation, "S3 Bucket Notifications Compatibility"); the key is not escaped."""
    return {"Records": [{
        "eventVersion": "2.2", "eventSource": "ceph:s3", "awsRegion": "default", "eventTime": "2026-11-29T06:00:00.124724Z",
        "eventName": "ObjectCreated:Put", "userIdentity": {"principalId": "tester"},
        "requestParameters": {"sourceIPAddress": ""},
        "responseElements": {"x-amz-request-id": "503a4c37-85eb-47cd-8681-2817e80b4281.5330.903595", "x-amz-id-2": "14d2-zone1"},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "mynotif1",
            "bucket": {"name": "theirs", "ownerIdentity": {"principalId": "tester"}, "arn": "arn:aws:s3:default::theirs",
                       "id": "503a4c37-85eb-47cd-8681-2817e80b4281.5332.38"},
            "object": {"key": key, "size": 1024, "eTag": "37b51d194a7513e45b56f6524f2d51f2", "versionId": "",
                       "sequencer": sequencer, "metadata": [{"key": "x-amz-meta-a", "val": "b"}], "tags": []},
        },
        "eventId": "", "opaqueData": "me@example.com",
    }]}


def test_keys_are_escaped_alike_whoever_tells(new_node, tmp_path):
    """A function takes all keys apart by the same rule."""
    config = tmp_path / "theirs.toml"
    config.write_text(f'[storage.buckets.theirs]\ntoken = "{TOKEN}"\n')
    node = new_node("--config", config)
    told = Told(node, "told")
    add(node, "all", "theirs", None, "--prefix", "in/", "--suffix", ".png")
    # MinIO asks first whether anybody is there, and takes any answer for yes.
    asked = urllib.request.Request(
        f"{node.endpoint}/hearth/2026-11-01/storage/theirs/notifications", method="HEAD",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(asked, timeout=30)
    # A password is all that Ceph can send: https://any:TOKEN@…
    password = "Basic " + base64.b64encode(f"any:{TOKEN}".encode()).decode()
    keys = ["in/a b.png", "in/a+b.png", "in/100%25.png", "in/ü.png"]
    for n, key in enumerate(keys):
        assert post(node, "theirs", json.dumps(ceph(key, f"CE{n}")), password) == (200, {"Records": 1})
        assert post(node, "theirs", json.dumps(minio(quote_plus(key), f"17{n}"))) == (200, {"Records": 1})
    told.until(*map(created, keys))
    wait_until(lambda: len(told.all()) == 2 * len(keys), "both of each")
    assert sorted(told.events()) == sorted(2 * [created(key) for key in keys])
    sent = {record["s3"]["object"]["key"] for record in told.records}
    assert sent == {"in/a+b.png", "in/a%2Bb.png", "in/100%2525.png", "in/%C3%BC.png"}


def test_bad_notifications_are_refused_with_what_to_do(watched):
    Told(watched, "told")

    def refused(*options):
        result = watched.hearth("notification", "add", "bad", *options, check=False)
        assert result.returncode == 1
        return result.stderr

    target = ["--target", arn_of("told")]
    assert "storage.buckets.nowhere" in refused("--bucket", "nowhere", *target)
    assert "no kind of event" in refused("--bucket", "incoming", *target, "--event", "s3:ObjectMade:*")
    assert "does not exist" in refused("--bucket", "incoming", "--target", arn_of("missing"))
    assert "not found" in refused("--bucket", "incoming", "--target", "arn:aws:lambda:us-east-1:000000000000:function:gone")
    assert "account and region" in refused("--bucket", "incoming", "--target", "arn:aws:sqs:eu-west-1:000000000000:told")
    assert "can't be told" in refused("--bucket", "incoming", "--target", "arn:aws:sns:us-east-1:000000000000:told")
    assert json.loads(watched.hearth("notification", "list", "--json").stdout) == []
    assert watched.hearth("notification", "show", "bad", check=False).returncode == 4
    assert watched.hearth("notification", "rm", "bad", check=False).returncode == 4


def test_notifications_outlive_a_kill(watched):
    Told(watched, "told")
    add(watched, "kept", "incoming", None, "--suffix", ".png")
    shown = watched.hearth("notification", "show", "kept").stdout
    assert json.loads(shown)["Filter"] == {"Key": {"FilterRules": [{"Name": "suffix", "Value": ".png"}]}}
    watched.kill()
    watched.start()
    assert watched.hearth("notification", "show", "kept").stdout == shown
    assert "*.png" in watched.hearth("notification", "list").stdout


def test_a_folder_in_the_nodes_own_is_refused(tmp_path):
    data = tmp_path / "data"
    (data / "in").mkdir(parents=True)
    config = tmp_path / "own.toml"
    config.write_text(f'[storage.buckets.own]\nfolder = "{data}/in"\n')
    node = Node(data, "--config", config)
    with pytest.raises(AssertionError, match="lie in each other"):
        node.start()
