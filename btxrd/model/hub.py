"""Published weights of timm's models, from the local cache of a model hub or from the hub."""

import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import requests
import torch
from huggingface_hub import constants, hf_hub_download, hf_hub_url, try_to_load_from_cache
from timm.models import get_pretrained_cfg

from btxrd.errors import InputError, ran_out_of_memory

FILES = "model.safetensors", "pytorch_model.bin"  # names in a repository, in order of preference
SECONDS = 5.0  # time for a hub to answer; the hub's own library would try for a minute


class UnavailableError(InputError):
    """Published weights that are not in the cache and cannot be downloaded.

    Attributes:
        backbone: Name of the timm model.
        reason: Why the download is not possible.
    """

    def __init__(self, backbone: str, reason: str) -> None:
        super().__init__(describe_unavailable([backbone], reason))
        self.backbone, self.reason = backbone, reason


def describe_unavailable(backbones: Sequence[str], reason: str) -> str:
    """Return one line about models whose weights cannot be downloaded for the same reason."""
    return (
        f"model.backbone={','.join(backbones)}: the ImageNet weights cannot be downloaded "
        f"({reason}); set model.weights=FILE or model.pretrained=false, or use "
        "model=efficientnet_lite0, whose weights are installed"
    )


def fetch(name: str) -> tuple[Path, str]:
    """Return the file of a model's published weights, and the name of its repository or its URL.

    Raises:
        InputError: If timm publishes no weights of this model.
        UnavailableError: If the weights are not in the cache and cannot be downloaded.
    """
    config = get_pretrained_cfg(name)
    repository: str | None = config.hf_hub_id if config is not None else None
    url: str | None = config.url if config is not None else None
    if not repository and not url:
        raise InputError(
            f"model.backbone={name}: timm has no pretrained weights for this model; set "
            "model.pretrained=false or model.weights=FILE"
        )
    try:
        with _quiet():
            if repository:
                return _of_hub(repository), repository
            assert url
            return _of_url(url), url
    except Exception as error:  # the HTTP libraries raise exceptions of their own types
        if ran_out_of_memory(error):
            raise
        raise UnavailableError(name, _reason(error)) from error


def _of_hub(repository: str) -> Path:
    for file in FILES:
        cached = try_to_load_from_cache(repository, file)
        if isinstance(cached, str):
            return Path(cached)
    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set, and the weights are not in the cache")
    for file in FILES:
        if _is_there(hf_hub_url(repository, file)):
            return Path(hf_hub_download(repository, file))
    raise FileNotFoundError(f"{constants.ENDPOINT} has no weights in {repository}")


def _of_url(url: str) -> Path:
    path = Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(url).path).name)
    if not path.is_file():
        if not _is_there(url):
            raise FileNotFoundError(f"there is no file at {url}")
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=False)
    return path


def _is_there(url: str) -> bool:
    """Return whether a host has a file; the host is asked once.

    Raises:
        OSError: If the host does not answer, or refuses.
    """
    parts = urlsplit(url)
    if error := _unreachable(f"{parts.scheme}://{parts.netloc}"):
        raise error
    with requests.head(url, timeout=SECONDS) as answer:
        if answer.status_code == requests.codes.not_found:
            return False
        answer.raise_for_status()
    return True


@cache
def _unreachable(host: str) -> requests.RequestException | None:
    """Return why a host does not answer, None if it does. It is asked once for all models.

    The timeout of `requests` applies to each address of a host, and not to the lookup of its name.
    So the question is asked in a thread, which is abandoned after SECONDS.
    """
    answers: queue.SimpleQueue[requests.RequestException | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            requests.head(host, timeout=SECONDS).close()
            answers.put(None)
        except requests.RequestException as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=SECONDS)
    except queue.Empty:
        return requests.Timeout(request=requests.Request("HEAD", host).prepare())


def _reason(error: Exception) -> str:
    host = urlsplit(getattr(getattr(error, "request", None), "url", None) or "").netloc
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return f"{host or 'the hub'} cannot be reached"
    if isinstance(error, requests.HTTPError):
        return f"{host} answers {error.response.status_code}"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log of the hub's library off the terminal; the result is reported in one line."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
