"""What an account wants of the metadata options of its launches in a region; None in each: no preference."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetadataDefaults:
    """One account's, in one region."""

    http_tokens: str | None = None  # optional | required
    http_hop_limit: int | None = None
    http_endpoint: str | None = None  # enabled | disabled
    instance_metadata_tags: str | None = None  # enabled | disabled
    http_tokens_enforced: str | None = None  # enabled: no instance answers without tokens | disabled

    @property
    def are_tokens_enforced(self) -> bool:
        """Whether a launch or a change to ``optional`` is refused."""
        return self.http_tokens_enforced == "enabled"
