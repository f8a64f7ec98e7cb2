"""What an exported file says of itself."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from ..config import StreamingWavLMConfig
from ..errors import ExportError, StreamingWavLMError
from ..model import StreamingWavLM
from .signature import Precision, input_names, output_names

#: Under this key the file's own metadata holds ours, as JSON.
KEY = "streaming_wavlm"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Metadata:
    """The block that every exported file carries.

    Attributes:
        config: the architecture and the chunk.
        precision: of the arithmetic: ``"fp32"``, ``"bf16"`` or ``"int8"``.
        batch: the number of streams; None for any number.
        version: of this package, that wrote the file.
        provenance: where the weights come from.
        compile: what the runtime must be told to compute in this precision.
    """

    config: StreamingWavLMConfig
    precision: Precision
    batch: int | None
    version: str
    provenance: dict[str, Any]
    compile: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: StreamingWavLM,
        precision: Precision,
        batch: int | None,
        compile_with: dict[str, str] | None = None,
    ) -> Metadata:
        """Describe the export of a model."""
        from .. import __version__

        return cls(model.config, precision, batch, __version__, dict(model.provenance), compile_with or {})

    def to_json(self) -> str:
        """Return the block as JSON, with what follows from it for readers that do not have this package."""
        config = self.config
        return json.dumps(
            {
                "format_version": FORMAT_VERSION,
                "config": config.to_dict(),
                "chunk_ms": config.chunk_ms,
                "chunk_samples": config.chunk_samples,
                "chunk_frames": config.chunk_frames,
                "hop": config.hop,
                "algorithmic_latency_ms": config.latency.algorithmic_ms,
                "fingerprint": config.fingerprint(),
                "precision": self.precision,
                "batch": self.batch,
                "version": self.version,
                "provenance": self.provenance,
                "compile": self.compile,
                "inputs": input_names(config),
                "outputs": output_names(config),
            },
            default=str,
        )

    @classmethod
    def from_json(cls, text: str | None, source: object) -> Metadata:
        """Read the block of a file.

        Args:
            text: the JSON; None if the file has none.
            source: the file, for messages.

        Raises:
            ExportError: the file was not written by this package, or by a newer version of it.
        """
        if text is None:
            raise ExportError(
                f"{source} has no metadata block of this package; export it with streaming-wavlm export"
            )
        try:
            block = json.loads(text)
            if block["format_version"] != FORMAT_VERSION:
                raise ExportError(
                    f"{source} has format version {block['format_version']}, this package reads "
                    f"{FORMAT_VERSION}; export it again, or install the version that wrote it "
                    f"({block.get('version')})"
                )
            config = StreamingWavLMConfig.from_dict(block["config"])
            return cls(
                config,
                block["precision"],
                block["batch"],
                block["version"],
                block["provenance"],
                block["compile"],
            )
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ExportError(f"the metadata block of {source} is damaged: {error!r}") from error
        except StreamingWavLMError as error:
            if isinstance(error, ExportError):
                raise
            raise ExportError(f"{source} is of a model that this package cannot read: {error}") from error
