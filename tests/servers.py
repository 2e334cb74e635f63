"""Servers of others that tests start: each on a free port and in a folder of its own, stopped by its process group."""

import os
import random
import signal
import socket
import subprocess
from pathlib import Path

from harness import wait_until


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
    """A process in a group of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.process = None

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

    def __init__(self, folder):
        super().__init__(folder)
        self.names = free_port()
        self.distribution = free_port()
        self.daemon = None

    def start(self):
        if self.daemon is None:
            self.daemon = Server(self.folder / "epmd")
            self.daemon.port = self.names
            self.daemon.run("epmd", "-port", str(self.names), "-address", "127.0.0.1")
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
        )

    stop = Server.kill


class Nats(Server):
    """NATS with JetStream."""

    def start(self):
        return self.run("nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder / "store"))

    stop = Server.kill
