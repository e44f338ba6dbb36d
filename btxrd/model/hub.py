"""Published weights of timm's models, from the cache of a hub or from the hub itself."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import requests
import torch
from huggingface_hub import constants, hf_hub_download, hf_hub_url, try_to_load_from_cache
from timm.models import get_pretrained_cfg

from btxrd.errors import InputError, ran_out_of_memory

FILES = "model.safetensors", "pytorch_model.bin"  # of a repository, the first that is there
SECONDS = 5.0  # until a hub that does not answer is given up; its own library tries for a minute


def fetch(name: str) -> tuple[Path, str]:
    """Return the file of a model's published weights, and the name of its repository or its URL.

    Raises:
        InputError: If there are none, or if they are not in the cache and cannot be downloaded.
    """
    config = get_pretrained_cfg(name)
    repository: str | None = config.hf_hub_id if config is not None else None
    url: str | None = config.url if config is not None else None
    if not repository and not url:
        raise InputError(
            f"model.backbone={name}: timm has no pretrained weights of it; use "
            "model.pretrained=false or model.weights=FILE"
        )
    try:
        with _quiet():
            if repository:
                return _of_hub(repository), repository
            assert url
            return _of_url(url), url
    except Exception as error:  # each library under the hub's has errors of its own
        if ran_out_of_memory(error):
            raise
        raise InputError(
            f"model.backbone={name}: its ImageNet weights cannot be fetched "
            f"({_reason(error)}); use model.weights=FILE, or model.pretrained=false, "
            "or model=efficientnet_lite0, whose weights are installed"
        ) from error


def _of_hub(repository: str) -> Path:
    for file in FILES:
        cached = try_to_load_from_cache(repository, file)
        if isinstance(cached, str):
            return Path(cached)
    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set, and they are not in the cache")
    for file in FILES:
        if _is_there(hf_hub_url(repository, file)):
            return Path(hf_hub_download(repository, file))
    raise FileNotFoundError(f"{constants.ENDPOINT} has no weights in {repository}")


def _of_url(url: str) -> Path:
    path = Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(url).path).name)
    if not path.is_file():
        if not _is_there(url):
            raise FileNotFoundError(f"there is nothing at {url}")
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=False)
    return path


def _is_there(url: str) -> bool:
    """Ask for a file, once.

    Raises:
        OSError: If its host does not answer, or refuses.
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
    """Return why a host does not answer; asked once, however many models it has."""
    try:
        requests.head(host, timeout=SECONDS).close()
    except requests.RequestException as error:
        return error
    return None


def _reason(error: Exception) -> str:
    host = urlsplit(getattr(getattr(error, "request", None), "url", None) or "").netloc
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return f"{host or 'the hub'} cannot be reached"
    if isinstance(error, requests.HTTPError):
        return f"{host} answers {error.response.status_code}"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the hub's library logs off the terminal: what results is said in one line."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
