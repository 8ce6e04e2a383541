"""What this package supplies. The client is imported when a sampler is built."""

from __future__ import annotations

from pydantic import Field

from halo.plugin import Options, Sampler, SamplerContext, Sampling, hookimpl


class Served(Options):
    """Options of `vllm`. Where the server is changes no completion: the manifest of the samples does not hold it."""

    url: str = Field("http://localhost:8000/v1", description="where the server answers", exclude=True)
    model: str = Field("", description="what the server calls the model; left out: the only one that it has")
    key: str = Field("VLLM_API_KEY", description="environment variable that holds the server's key, where it has one", exclude=True)
    temperature: float = Field(1.0, gt=0, description="logits are divided by it")
    top_k: int = Field(0, ge=0, description="only the so many most likely tokens; 0: all")
    top_p: float = Field(1.0, gt=0, le=1, description="only the most likely tokens that together have this probability")
    min_p: float = Field(0.0, ge=0, lt=1, description="only tokens of at least this share of the most likely one's probability")
    retries: int = Field(5, ge=0, description="tries more of a request that failed, each after a longer wait", exclude=True)
    timeout: float = Field(600, gt=0, description="seconds that one request may take", exclude=True)

    @property
    def cuts(self) -> bool:
        """Whether some tokens may not be drawn."""
        return bool(self.top_k) or self.top_p < 1 or self.min_p > 0


@hookimpl
def halo_samplers() -> list[Sampler]:
    meaning = "a vLLM server writes, from ids; a completion also depends on what else the server is busy with"
    return [Sampler("vllm", meaning, _served, Served, temperature=_temperature, reaches_out=True)]


def _temperature(options: Served) -> float:
    return options.temperature


def _served(context: SamplerContext) -> Sampling:
    from halo_vllm.served import ServedModel

    return ServedModel(context)
