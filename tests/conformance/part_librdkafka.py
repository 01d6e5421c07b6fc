"""The test suite of librdkafka: each of the tests that need a broker, on its own, two at a time;
those that need TLS or SASL against servers that ask for it, those that need several nodes or racks
against a cluster of three."""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

import peers
import suite
from authority import Authority
from relay import Relay

TESTS = """
0001 0002 0003 0005 0007 0008 0011 0012 0013 0014 0015 0017 0018 0019 0020 0021 0022 0026
0028 0029 0030 0031 0033 0034 0036 0038 0039 0040 0041 0042 0044 0045 0048 0049 0050 0051
0052 0053 0054 0055 0056 0057 0059 0060 0061 0062 0063 0064 0065 0067 0069 0070 0073 0074
0075 0076 0077 0080 0081 0082 0083 0084 0085 0086 0088 0089 0090 0092 0093 0094 0097 0098
0099 0100 0101 0102 0103 0107 0109 0110 0111 0112 0113 0114 0115 0116 0118 0119 0122 0123
0127 0129 0130 0132 0135 0137 0138 0139 0140 0142 0170 0171 0172 0173 0174 0175 0176 0177
0178 0179 0180 0181 0184 0185 0190
""".split()
# Tests that log in, with their parts by the names that they have in the log.
LOGINS = {
    "0135": ("do_test", "do_test_share_consumer"),
    "0142": ("do_test_consumer", "do_test_share_consumer", "do_test_producer",
             "do_test_txn_producer", "do_test_oauthbearer", "do_test_share_oauthbearer",
             "do_test_reauth_failure", "do_test_share_reauth_failure"),
}
SECURED = ("0097", *LOGINS)
CLUSTERED = ("0101", "0142.do_test_consumer")
USER = ("tester", "a password of the tests")
SECONDS = 400  # for one test, on a machine that is busy
AT_ONCE = 2
# Kafka's scripts that some tests call, by the classes behind them.
SCRIPTS = {"kafka-topics": "org.apache.kafka.tools.TopicCommand",
           "kafka-acls": "org.apache.kafka.tools.AclCommand",
           "kafka-configs": "org.apache.kafka.tools.ConfigCommand"}


def write_scripts(home):
    (home / "bin").mkdir(parents=True, exist_ok=True)
    for name, main in SCRIPTS.items():
        script = home / f"bin/{name}.sh"
        script.write_text("#!/bin/sh\nexec java -cp '%s/*' %s \"$@\"\n"
                          % (peers.kafka_jars(), main))
        script.chmod(0o755)


def outcomes(report, number):
    """The state and name of each test of a report; those of other numbers were filtered out."""
    tests = json.loads(report.read_text())["tests"]
    return [(test["state"], name) for name, test in tests.items() if name.startswith(number)]


def reason(log, state):
    """What the log says about a test that did not pass."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip()
             for line in log.read_text(errors="replace").splitlines()]
    mark = "SKIPPING" if state == "SKIPPED" else "TEST FAILURE|Test failed"
    for place, line in enumerate(lines):
        if re.search(mark, line):
            return " ".join(lines[place:place + 4])[:300]
    return lines[-1][:300] if lines else "it said nothing"


def run_one(number, source, node, conf=(), more_env=None):
    """Runs one test-runner: [(outcome, name, reason, seconds)]. Quickly, which leaves out long
    parts of some, but for those whose parts are named."""
    home = suite.OUT / f"librdkafka/{number}"
    home.mkdir(parents=True, exist_ok=True)
    lines = (f"bootstrap.servers={node.kafka}", f"test.topic.prefix=t{number}", *conf)
    (home / "test.conf").write_text("\n".join(lines) + "\n")
    report, log = home / "report.json", home / "log"
    report.unlink(missing_ok=True)
    env = {**os.environ, "TESTS": number, "RDKAFKA_TEST_CONF": str(home / "test.conf"),
           "TEST_REPORT": str(report), "TEST_KAFKA_VERSION": "4.0.0", "CI": "1",
           "LD_LIBRARY_PATH": f"{source}/src:{source}/src-cpp",
           "KAFKA_PATH": str(suite.OUT / "librdkafka"), "BROKERS": node.kafka,
           **(more_env or {})}
    began = time.monotonic()
    with open(log, "wb") as out:
        quickly = [] if number in LOGINS else ["-Q"]
        process = subprocess.Popen(["./test-runner", "-p1", *quickly], cwd=source / "tests",
                                   stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, env=env)
        try:
            status = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return [("FAIL", number, f"did not end within {SECONDS} s, see {log}", SECONDS)]
    seconds = time.monotonic() - began
    if not report.exists():
        return [("FAIL", number, f"ended with {status}, see {log}", seconds)]
    words = {"PASSED": "PASS", "FAILED": "FAIL", "SKIPPED": "SKIP"}
    told = [(words.get(state, "FAIL"), name, "" if state == "PASSED" else reason(log, state),
             seconds) for state, name in outcomes(report, number)]
    return told or [("FAIL", number, f"no test ran, see {log}", seconds)]


def choose(tally):
    """The tests that are to run."""
    chosen = []
    for number in TESTS:
        why = tally.excluded("librdkafka", number)
        if why and not tally.only:
            tally.add("SKIP", number, why)
        elif not tally.only or any(number == word[:4] for word in tally.only):
            chosen.append(number)
    return chosen


def run_all(tally, source, node, chosen):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        running = [pool.submit(run_one, number, source, node) for number in chosen]
        for done in running:
            for outcome, name, why, seconds in done.result():
                tally.add(outcome, name, why, seconds)


def key_forms(home):
    """A server's certificate and a client's in every form that the suite reads: the server's files,
    the client's configuration, and the environment that names the forms. The client's is not asked
    for: the alert by which a stranger's is refused is another than Java's."""
    ca = Authority(home)
    certificate, key = ca.sign("server", "/CN=server")
    public, private = ca.sign("client", "/CN=client")
    password = "use_strong_password"
    locked, pkcs = ca.path("client.locked.key"), ca.path("client.p12")
    ca.openssl("pkey", "-in", private, "-aes256", "-passout", f"pass:{password}", "-out", locked)
    ca.openssl("pkcs12", "-export", "-in", public, "-inkey", private, "-certfile", ca.pem,
               "-passout", f"pass:{password}", "-out", pkcs)
    ca.openssl("x509", "-in", public, "-outform", "DER", "-out", "client.der")
    ca.openssl("pkey", "-in", private, "-outform", "DER", "-out", "client.key.der")
    ca.openssl("x509", "-in", ca.pem, "-outform", "DER", "-out", "ca.der")
    other = Authority(home, "other")
    cas = home / "all-cas.pem"
    cas.write_text("".join(pathlib.Path(one.pem).read_text() for one in (other, ca)))
    conf = ("security.protocol=ssl", f"ssl.ca.location={ca.pem}",
            f"ssl.certificate.location={public}", f"ssl.key.location={locked}",
            f"ssl.key.password={password}")
    env = {"SSL_pkcs": pkcs, "SSL_pub_der": ca.path("client.der"), "SSL_pub_pem": public,
           "SSL_priv_der": ca.path("client.key.der"), "SSL_priv_pem": locked,
           "SSL_ca_der": ca.path("ca.der"), "SSL_ca_pem": ca.pem, "SSL_all_cas_pem": str(cas),
           "SSL_password": password, "SSL_client_auth": "requested"}
    return (f"security.certificate={certificate}", f"security.key={key}"), conf, env


def run_keys(source, home):
    """0097. Over a link with a delay: a server whose answer is there within the client's first call
    of SSL_connect() is taken by this client for one that ends the connection."""
    settings, conf, env = key_forms(home)
    relay = Relay(seconds=0.02)
    try:
        with suite.server("walrus", *settings, f"kafka.advertise={relay.address}") as node:
            relay.target, node.kafka = node.kafka, relay.address
            return run_one("0097", source, node, conf, env)
    finally:
        relay.close()


def run_logins(tally, source, number):
    """0135 and 0142, each part by itself."""
    for part in LOGINS[number]:
        why = tally.excluded("librdkafka", f"{number}.{part}")
        if why:
            yield "SKIP", f"{number}.{part}", why, None
            continue
        conf = ("security.protocol=sasl_plaintext", "sasl.mechanism=SCRAM-SHA-256",
                f"sasl.username={USER[0]}", f"sasl.password={USER[1]}")
        settings = ("security.sasl=SCRAM-SHA-256", "security.session_ms=5000",
                    "native.security=plaintext")
        made = suite.cluster if f"{number}.{part}" in CLUSTERED else suite.server
        with made("walrus", *settings, user=USER) as node:
            for outcome, name, why, seconds in run_one(number, source, node, conf,
                                                       {"SUBTESTS": part + ":"}):
                yield outcome, f"{number}.{part}" if name.startswith(number) else name, why, seconds


def run_secured(tally, source, number):
    if tally.against == "kafka":
        tally.add("SKIP", number, "the Kafka node is set up without TLS and SASL")
        return
    with tempfile.TemporaryDirectory(prefix="walrus-keys-") as home:
        ran = (run_keys(source, pathlib.Path(home)) if number == "0097"
               else run_logins(tally, source, number))
        for outcome, name, why, seconds in ran:
            tally.add(outcome, name, why, seconds)


def cases(tally):
    source = peers.librdkafka()
    write_scripts(suite.OUT / "librdkafka")
    chosen = choose(tally)
    plain = [number for number in chosen if number not in (*SECURED, *CLUSTERED)]
    if plain:
        with suite.server(tally.against) as node:
            run_all(tally, source, node, plain)
    for number in chosen:
        if number in SECURED:
            run_secured(tally, source, number)
        elif number in CLUSTERED:
            with suite.cluster(tally.against) as node:
                for outcome, name, why, seconds in run_one(number, source, node):
                    tally.add(outcome, name, why, seconds)
