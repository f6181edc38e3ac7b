"""Weights on Hugging Face's hub: copies that this computer has already, and one short question to the network."""

from __future__ import annotations

import http.client
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

import timm
import torch
from huggingface_hub import constants, hf_hub_url, snapshot_download, try_to_load_from_cache
from timm.models import PretrainedCfg, get_pretrained_cfg
from torch.hub import HASH_REGEX

from d24fad_lite.files import file_sha256
from d24fad_lite.messages import did_you_mean, in_short
from d24fad_lite.model.checkpoint import WeightsError

PROBE_SECONDS = 4.0
NAMES = ("model.safetensors", "pytorch_model.bin")  # as timm looks for them, the safe one first


def timm_config(name: str) -> PretrainedCfg | None:
    """What timm knows of a name's pretrained weights; None for a model that has none.

    Raises ValueError for a name that is no model of timm's, or a tag that is none of the model's.
    """
    architecture, _, tag = name.partition(".")
    if ":" in name:
        raise ValueError(
            f"teacher {name!r} is neither a timm name nor 'hf:FOLDER' or 'hf:organisation/name' (an encoder in "
            "transformers' format); of a folder or repository in timm's format, give the timm name as teacher and "
            "weights='local-dir:FOLDER'"
        )
    if not timm.is_model(architecture):
        hint = did_you_mean(architecture, timm.list_models())
        raise ValueError(f"teacher {name!r} is not a timm model{hint}; timm.list_models() lists all of them")
    try:
        return get_pretrained_cfg(name)
    except RuntimeError as error:
        known = timm.list_pretrained(f"{architecture}.*")
        raise ValueError(
            f"teacher {name!r}: timm has no weights {tag!r} of {architecture}; choose one of "
            f"{', '.join(known)}{did_you_mean(name, known)}"
        ) from error


def tag_of(name: str) -> str:
    """The full timm name of the weights that "imagenet" stands for: "resnet18" -> "resnet18.a1_in1k"."""
    cfg = timm_config(name)
    return f"{name.split('.')[0]}.{cfg.tag}" if cfg is not None and cfg.tag else name


def cached_file(name: str) -> Path | None:
    """The file of timm's weights in Hugging Face's or torch's local cache; asks no network."""
    cfg = timm_config(name)
    if cfg is None:
        return None
    if cfg.hf_hub_id:
        repository, _, revision = cfg.hf_hub_id.partition("@")
        for file in (cfg.hf_hub_filename,) if cfg.hf_hub_filename else NAMES:
            cached = try_to_load_from_cache(repository, file, revision=revision or None)
            if isinstance(cached, str):
                return Path(cached)
    if url := _url(cfg):
        path = Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[-1])
        start = HASH_REGEX.search(path.name)
        if path.is_file() and (start is None or file_sha256(path).startswith(start.group(1))):
            return path
    return None


def no_download(name: str) -> str | None:
    """Why timm's weights cannot be downloaded now, or None where a server answers: known within seconds.

    Asked because the hub's client, without a network, repeats its attempts for most of a minute.
    """
    if _told_to_stay_offline():
        return "HF_HUB_OFFLINE is set"
    cfg = timm_config(name)
    if cfg is not None and cfg.hf_hub_id:
        return probe(_address(cfg.hf_hub_id, cfg.hf_hub_filename))
    if cfg is not None and (url := _url(cfg)):
        return probe(url)
    return "timm has no pretrained weights of this name"


def fetch_command(name: str) -> str | None:
    """The command that puts timm's weights into the local cache once; None where they are on no hub."""
    cfg = timm_config(name)
    if cfg is None or not cfg.hf_hub_id:
        return None
    return _command(cfg.hf_hub_id, [cfg.hf_hub_filename or NAMES[0]])


def cached_repository(repository: str, file: str) -> Path | None:
    """The folder of a repository (perhaps `@revision`) in the local cache that holds a file; asks no network."""
    repository, _, revision = repository.partition("@")
    cached = try_to_load_from_cache(repository, file, revision=revision or None)
    return Path(cached).parent if isinstance(cached, str) else None


def fetch_repository(repository: str, files: Sequence[str]) -> Path:
    """The folder of a repository in the local cache, after its files of these names were downloaded.

    Raises WeightsError, within seconds, where no server answers; the text names the command that fetches them.
    """
    reason = "HF_HUB_OFFLINE is set" if _told_to_stay_offline() else probe(_address(repository, "config.json"))
    if reason is None:
        name, _, revision = repository.partition("@")
        try:
            return Path(snapshot_download(name, revision=revision or None, allow_patterns=list(files)))
        except Exception as error:  # the hub client raises many kinds; all mean that the download did not work
            reason = in_short(error)
    raise WeightsError(why_no_repository(repository, files, f"it cannot be downloaded ({reason})"))


def why_no_repository(repository: str, files: Sequence[str], reason: str) -> str:
    """The error for an encoder that is not on this computer, with every way to go on."""
    return (
        f"teacher 'hf:{repository}' is not on this computer: {reason}. Ways out: fetch it once with\n"
        f"    {_command(repository, files)}\n"
        "(or set weights='download'); or give a folder that holds these files, teacher='hf:FOLDER'"
    )


def _command(repository: str, files: Sequence[str]) -> str:
    """The hub client's command that downloads files of a repository into the local cache."""
    repository, _, revision = repository.partition("@")
    at = f" --revision {revision}" if revision else ""
    if any("*" in file for file in files):
        return f"hf download {repository}{at} " + " ".join(f"--include '{file}'" for file in files)
    return f"hf download {repository} {' '.join(files)}{at}"


def _told_to_stay_offline() -> bool:
    """Whether the hub client's switch forbids downloads."""
    return constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def probe(address: str) -> str | None:
    """One request for the head of an address: None where a server answers, else the reason; within PROBE_SECONDS."""
    answers: SimpleQueue[str | None] = SimpleQueue()
    # In a thread: looking up a name obeys no time-out.
    Thread(target=lambda: answers.put(_ask(address)), daemon=True).start()
    try:
        return answers.get(timeout=PROBE_SECONDS)
    except Empty:
        return f"no answer within {PROBE_SECONDS:g} s"


def _ask(address: str) -> str | None:
    """`probe` without a limit of time."""
    try:
        request = urllib.request.Request(address, method="HEAD", headers={"User-Agent": "d24fad_lite"})
        with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return f"the server answered {error.code}" if error.code in (403, 407) or error.code >= 500 else None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return None if isinstance(reason, ssl.SSLError) else str(reason)  # the client has certificates of its own


def _url(cfg: PretrainedCfg) -> str | None:
    """Address of a checkpoint outside the hub; timm also allows (address, file name)."""
    return cfg.url[0] if isinstance(cfg.url, tuple) else cfg.url


def _address(repository: str, file: str | None) -> str:
    """Address of a file in a repository of the hub, whose name may end in `@revision`."""
    repository, _, revision = repository.partition("@")
    return hf_hub_url(repository, file or NAMES[0], revision=revision or None)
