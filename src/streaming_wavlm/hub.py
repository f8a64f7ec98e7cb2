"""What users of the Hugging Face hub expect of a model: from_pretrained, save_pretrained, push_to_hub."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from .checkpoint import (
    WEIGHT_TYPES,
    Checkpoint,
    HubOptions,
    check_tensors,
    first_line,
    hub_errors,
    locate,
    read_checkpoint,
    resolve_config,
    write_checkpoint,
)
from .config import StreamingWavLMConfig
from .config_file import ConfigSource, read_fields
from .errors import ConfigError, HubError, MissingDependencyError

Device = str | torch.device | None
DType = str | torch.dtype | None


class _Model(Protocol):
    """What this module needs of a model."""

    config: StreamingWavLMConfig
    provenance: dict[str, Any]
    defaults: tuple[str, ...]

    def __init__(self, config: StreamingWavLMConfig) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any: ...

    def eval(self) -> Any: ...


ModelT = TypeVar("ModelT", bound=_Model)


def build_model(
    model_class: type[ModelT],
    checkpoint: Checkpoint,
    *,
    config: ConfigSource | None = None,
    chunk_ms: int | None = None,
    device: Device = None,
    dtype: DType = None,
) -> ModelT:
    """Return the model of a checkpoint, in eval mode; the random number generators are not touched.

    Args:
        model_class: the class to build.
        checkpoint: its weights and what they state.
        config: fields that the caller gives.
        chunk_ms: the chunk in milliseconds, over whatever else says so.
        device: where to put the weights; the CPU when None.
        dtype: floating-point type of the weights; float32 when None.

    Raises:
        CheckpointMismatchError: the tensors and the architecture disagree.
        CheckpointCorruptError: a weight is NaN or infinite.
        ConfigError: a field is unknown or out of range, or the device or type cannot be had.
    """
    given = read_fields(config)
    if chunk_ms is not None:
        given["chunk_ms"] = chunk_ms
    resolved, defaults = resolve_config(checkpoint, given)
    check_tensors(checkpoint.tensors, resolved, checkpoint.source)
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        model = model_class(resolved)
    model.load_state_dict(_moved(checkpoint.tensors, device, dtype), assign=True)
    model.provenance = dict(checkpoint.provenance)
    model.defaults = defaults
    model.eval()
    return model


class HubMixin:
    """Saving to and loading from folders and the hub, for a class that is built from a config."""

    @classmethod
    def from_pretrained(
        cls: type[ModelT],
        source: str | os.PathLike[str],
        *,
        config: ConfigSource | None = None,
        chunk_ms: int | None = None,
        device: Device = None,
        dtype: DType = None,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
    ) -> ModelT:
        """Load a published checkpoint from a folder or from the hub, in eval mode.

        Args:
            source: a folder, a file, or a hub id ``owner/name``.
            config: path to YAML or JSON, a dict or a config, over what the checkpoint states.
            chunk_ms: the chunk in milliseconds.
            device: where to put the weights; the CPU when None.
            dtype: floating-point type of the weights; float32 when None.
            revision: branch, tag or commit of the hub repository.
            cache_dir: where downloads are kept.
            token: an access token of the hub.
            local_files_only: use what was downloaded before, without asking the network.

        Raises:
            CheckpointError: the checkpoint is missing, damaged, unsafe or of another model.
            ConfigError: a field is unknown or out of range.
        """
        options = HubOptions(revision, cache_dir, token, local_files_only)
        checkpoint = read_checkpoint(locate(source, options))
        return build_model(cls, checkpoint, config=config, chunk_ms=chunk_ms, device=device, dtype=dtype)

    def save_pretrained(
        self: _Model, folder: str | os.PathLike[str], *, provenance: Mapping[str, Any] | None = None
    ) -> None:
        """Write ``model.safetensors``, ``config.json`` and, unless there is one, a model card.

        Args:
            folder: where to; made if missing. A checkpoint that is there is replaced.
            provenance: what to add to what is known of where the weights came from, JSON-ready.

        Raises:
            CheckpointError: a weight is not finite, or the folder cannot be written.
            ConfigError: ``provenance`` cannot be written as JSON.
        """
        told = {**self.provenance, **(provenance or {})}
        path = Path(folder).expanduser()
        write_checkpoint(path, self.state_dict(), self.config, told, self.defaults)

    def push_to_hub(
        self: _Model,
        repo_id: str,
        *,
        commit_message: str = "Upload a streaming WavLM",
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        provenance: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish the model on the hub; a model card that is there is kept.

        Args:
            repo_id: ``owner/name``; made if missing.
            commit_message: the commit's message.
            private: whether a new repository is private; the hub's default when None.
            token: an access token of the hub; the one logged in with when None.
            revision: the branch to commit to; the main branch when None.
            create_pr: propose the commit as a pull request instead.
            provenance: what to add to what is known of where the weights came from, JSON-ready.

        Returns:
            The address of the commit.

        Raises:
            HubError: the hub cannot be reached, or refuses.
            MissingDependencyError: huggingface_hub is not installed.
            CheckpointError: a weight is not finite.
        """
        try:
            from huggingface_hub import HfApi
        except ImportError as error:
            raise MissingDependencyError(
                'publishing on the Hugging Face hub needs huggingface_hub: pip install "streaming-wavlm[hub]"'
            ) from error
        api = HfApi(token=token)
        told = {**self.provenance, **(provenance or {})}
        with tempfile.TemporaryDirectory() as folder:
            write_checkpoint(Path(folder), self.state_dict(), self.config, told, self.defaults)
            try:
                repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
                if revision is not None:
                    api.create_branch(repo_id, branch=revision, exist_ok=True)
                kept = ["README.md"] if api.file_exists(repo_id, "README.md", revision=revision) else None
                commit = api.upload_folder(
                    repo_id=repo_id,
                    folder_path=folder,
                    commit_message=commit_message,
                    revision=revision,
                    create_pr=create_pr,
                    ignore_patterns=kept,
                )
            except hub_errors() as error:
                raise HubError(
                    f"{repo_id!r} was not published ({type(error).__name__}: {first_line(error)}); expected "
                    "a repository 'owner/name' that you may write to; check the network, log in with "
                    "'hf auth login', or save_pretrained(folder) and upload that later"
                ) from error
        return str(commit.commit_url)


def _moved(tensors: Mapping[str, Tensor], device: Device, dtype: DType) -> dict[str, Tensor]:
    """Copy the tensors, so that nothing depends on their file any more."""
    kind = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    kind = torch.float32 if dtype is None else kind
    if kind not in WEIGHT_TYPES:
        names = ", ".join(str(known).removeprefix("torch.") for known in WEIGHT_TYPES)
        raise ConfigError(f"dtype must be one of {names}, got {dtype!r}")
    try:
        place = torch.device("cpu" if device is None else device)
        return {name: tensor.to(place, kind, copy=True) for name, tensor in tensors.items()}
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise ConfigError(
            f"the model cannot be put on device {str(device)!r} ({first_line(error)}); "
            'give a device that this machine has, such as "cpu"'
        ) from error
