"""Settings of an edge's certificates for clients: where they are, and whom they are ordered from."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from towonel.edge.setting_rules import check_authority, check_mail
from towonel.runtime.environment.folders import Folder
from towonel.runtime.settings import Settings


class CertificateSettings(Settings):
    """Part of an edge's settings."""

    acme_email: Annotated[str, AfterValidator(check_mail)] | None = Field(
        default=None,
        validation_alias="TOWONEL_EDGE_TLS_ACME_EMAIL",
        description="Who gets mail of the certificate authority. With it, or with a directory, the edge orders certificates of names whose "
        "TLS ends at it; the image with Caddy gives it to Caddy, too, for the hub's own.",
    )
    acme_staging: bool = Field(
        default=False,
        validation_alias="TOWONEL_EDGE_TLS_ACME_STAGING",
        description="Whether to order from Let's Encrypt's staging environment, whose certificates nobody trusts.",
    )
    acme_directory: Annotated[str, AfterValidator(check_authority)] | None = Field(
        default=None,
        validation_alias="TOWONEL_EDGE_TLS_ACME_DIRECTORY",
        description="ACME directory of another authority (https). Default: Let's Encrypt's.",
    )
    acme_root: Path | None = Field(
        default=None,
        validation_alias="TOWONEL_EDGE_TLS_ACME_ROOT",
        description="PEM file of the certificates that the directory's own is checked by. Default: the system's.",
    )
    acme_eab_key_id: str | None = Field(
        default=None,
        validation_alias="TOWONEL_EDGE_TLS_ACME_EAB_KEY_ID",
        description="Key id of the authority's account that this edge's belongs to (external account binding).",
    )
    acme_eab_hmac_key: SecretStr | None = Field(
        default=None,
        validate_default=True,
        validation_alias="TOWONEL_EDGE_TLS_ACME_EAB_HMAC_KEY",
        description="Its HMAC key, as the authority gives it (base64url).",
    )
    acme_eager: bool = Field(
        default=True,
        validation_alias="TOWONEL_EDGE_TLS_ACME_EAGER",
        description="Whether a certificate is ordered as soon as a name is published and an agent serves it; else for the first client, "
        "which waits. One that a wildcard publishes is ordered for its first client in any case.",
    )
    acme_check_dns: bool = Field(
        default=True,
        validation_alias="TOWONEL_EDGE_TLS_ACME_CHECK_DNS",
        description="Whether a certificate is ordered only for a name that resolves to an address of this edge: one that "
        "TOWONEL_EDGE_ADVERTISED_ADDRESSES or TOWONEL_HUB_PUBLIC_URL names, or its machine's own. false for an authority of your own, "
        "and where clients reach the edge at other addresses than agents.",
    )
    acme_per_domain: int = Field(
        default=50,
        ge=0,
        le=1_000_000,
        validation_alias="TOWONEL_EDGE_TLS_ACME_PER_DOMAIN",
        description="Names of one registered domain that a certificate is ordered for within a week, beside those that had one, as Let's Encrypt "
        "allows; 0 is any number.",
    )
    certificate_dir: Folder | None = Field(
        default=None,
        validation_alias="TOWONEL_EDGE_TLS_CERT_DIR",
        description="Folder of the certificates of names whose TLS ends at the edge: `<name>.crt`, a chain, and `<name>.key`, "
        "of mode 0600, both as PEM. What changes there is used within a minute. Default: certs in TOWONEL_DATA_DIR, or in TOWONEL_EDGE_STATE_DIR.",
    )

    @field_validator("acme_eab_hmac_key")
    @classmethod
    def _check_binding(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (value is None) != (info.data.get("acme_eab_key_id") is None):
            raise ValueError("goes with TOWONEL_EDGE_TLS_ACME_EAB_KEY_ID: set both, or neither")
        return value
