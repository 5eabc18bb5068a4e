"""The door to the API server: finding it, logging in, and answers of any kind."""

from __future__ import annotations

import json
import pathlib

import pytest
from apiserver import ApiServer, Fault
from mirror import pod

from enrich.kubernetes import client
from model import errors

PODS = "/api/v1/pods"


@pytest.fixture
def locked(server: ApiServer, kubeconfig: pathlib.Path) -> ApiServer:
    server.token = "secret"
    return server


def test_kubeconfig_says_where_and_who(locked: ApiServer, kubeconfig: pathlib.Path) -> None:
    api = client.connect(str(kubeconfig), "here")
    assert api.get(PODS)["items"] == []
    assert str(api) == locked.url
    api.close()


def test_token_that_was_renewed_is_read_again(locked: ApiServer, kubeconfig: pathlib.Path) -> None:
    api = client.connect(str(kubeconfig))
    api.get(PODS)
    locked.token = "another"
    with pytest.raises(errors.ApiError) as refused:
        api.get(PODS)
    assert (refused.value.refusal, refused.value.status) == (errors.Refusal.FORBIDDEN, 401)
    kubeconfig.write_text(kubeconfig.read_text().replace("secret", "another"))
    assert api.get(PODS)["items"] == []
    kubeconfig.unlink()
    locked.token = "third"
    with pytest.raises(errors.ApiError, match="no Kubernetes API by"):
        api.get(PODS)
    api.close()


def test_service_account_of_a_pod(
    server: ApiServer, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as it goes without TLS: the files are read, and the address is the cluster's."""
    from kubernetes.config import incluster_config

    for name, text in (("token", "secret"), ("ca.crt", "")):
        tmp_path.joinpath(name).write_text(text)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(errors.SetupError, match="the service account"):
        client.connect()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("{", id="no YAML"),
        pytest.param("kind: Config\ncontexts: 7\n", id="no contexts"),
    ],
)
def test_kubeconfig_that_says_nothing(text: str | None, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    expected = (
        "no Kubernetes API by .*config: " if text is not None else "no Kubernetes API: there is no file "
    )
    with pytest.raises(errors.SetupError, match=expected):
        client.connect(str(path))


def test_unknown_context(kubeconfig: pathlib.Path) -> None:
    with pytest.raises(errors.SetupError, match="nowhere"):
        client.connect(str(kubeconfig), "nowhere")


def test_nobody_there(api: client.Api, server: ApiServer) -> None:
    server.stop()
    with pytest.raises(errors.ApiError) as away:
        api.get(PODS)
    assert (away.value.refusal, away.value.status) == (errors.Refusal.UNAVAILABLE, 0)


@pytest.mark.parametrize(
    ("fault", "refusal", "words"),
    [
        (Fault("reset"), errors.Refusal.UNAVAILABLE, "does not answer"),
        (Fault("hang"), errors.Refusal.UNAVAILABLE, "does not answer"),
        (Fault("cut"), errors.Refusal.UNAVAILABLE, "broke off"),
        (Fault("not json"), errors.Refusal.UNAVAILABLE, "not with JSON"),
        (Fault("status", number=403), errors.Refusal.FORBIDDEN, "as the test wants"),
        (Fault("status", number=418), errors.Refusal.REFUSED, "as the test wants"),
        (Fault("status", number=503), errors.Refusal.UNAVAILABLE, "as the test wants"),
        (Fault("status", number=410), errors.Refusal.GONE, "as the test wants"),
    ],
    ids=str,
)
def test_list_goes_wrong(
    api: client.Api, server: ApiServer, fault: Fault, refusal: errors.Refusal, words: str
) -> None:
    server.fault(PODS, "list", fault)
    with pytest.raises(errors.ApiError, match=words) as error:
        api.get(PODS, seconds=0.3)
    assert error.value.refusal is refusal
    assert api.get(PODS)["kind"] == "List"


def test_answer_in_drops_is_given_up(
    api: client.Api, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.apply(PODS, pod("web", note="x" * 500_000))
    server.fault(PODS, "list", Fault("slow"))
    with pytest.raises(errors.ApiError, match="has not ended its answer"):
        api.get(PODS, seconds=0.1)


def test_answer_that_is_too_large(
    api: client.Api, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_ANSWER_BYTES", 1000)
    server.apply(PODS, pod("web", note="x" * 5000))
    with pytest.raises(errors.ApiError) as error:
        api.get(PODS)
    assert error.value.refusal is errors.Refusal.TOO_LARGE


@pytest.mark.parametrize(
    ("status", "said", "retry_after", "refusal", "seconds"),
    [
        (429, {}, "7", errors.Refusal.BUSY, 7.0),
        (429, {"details": {"retryAfterSeconds": 3}}, "", errors.Refusal.BUSY, 3.0),
        (503, {}, "Wed, 21 Oct 2026 07:28:00 GMT", errors.Refusal.UNAVAILABLE, 0.0),
        (500, {"reason": "Expired"}, "", errors.Refusal.GONE, 0.0),
        (504, {"details": {"causes": [{"reason": "ResourceVersionTooLarge"}]}}, "", errors.Refusal.GONE, 0.0),
        (409, {"details": "none"}, "", errors.Refusal.CONFLICT, 0.0),
        (404, {"details": {"causes": 7}}, "", errors.Refusal.ABSENT, 0.0),
    ],
)
def test_refusal(
    status: int, said: client.Object, retry_after: str, refusal: errors.Refusal, seconds: float
) -> None:
    found = client.refusal(status, said, "GET /", retry_after)
    assert (found.refusal, found.status, found.retry_after) == (refusal, status, seconds)


def test_objects_are_made_and_replaced(api: client.Api, server: ApiServer) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/a/leases"
    made = api.post(leases, {"metadata": {"name": "x", "namespace": "a"}})
    api.put(f"{leases}/x", {**made, "spec": {"holderIdentity": "me"}}, seconds=1.0)
    for write in (lambda: api.put(f"{leases}/x", made), lambda: api.post(leases, made)):
        with pytest.raises(errors.ApiError) as error:
            write()
        assert error.value.refusal is errors.Refusal.CONFLICT


def test_what_is_served(api: client.Api, server: ApiServer) -> None:
    assert api.versions("apps") == ("v1",)
    assert api.resources("apps", "v1") == {"replicasets"}
    assert (api.versions("nothing"), api.resources("nothing", "v1")) == ((), frozenset())


def test_stream_ends_when_told(api: client.Api, server: ApiServer) -> None:
    made = server.apply(PODS, pod("web"))
    query = {"watch": "1", "resourceVersion": "1", "timeoutSeconds": "60"}
    with api.stream(PODS, query) as stream:
        taken = iter(stream)
        assert json.loads(next(taken)) == {"type": "ADDED", "object": made}
        stream.shutdown()
        with pytest.raises(errors.ApiError, match="broke off"):
            list(taken)
