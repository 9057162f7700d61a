"""What BRAIN can be told: secrets, limits, gates, ages, windows. It must never read anything else."""

from decimal import Decimal

from pydantic import Field, SecretStr

from shared.settings import LOOPBACK, Networks, Settings


class BrainSettings(Settings):
    """The settings of BRAIN."""

    brain_db_password: SecretStr = Field(description="Password of the database role phoenix_brain.")
    webhook_secret: SecretStr = Field(
        min_length=16, description="Secret of the webhook: body field, path token or HMAC key."
    )
    rate_limit_per_minute: int = Field(
        120,
        ge=1,
        le=1_000_000,
        description="How many webhook requests one sender may make in any minute, over all replicas; entries,"
        " the exits of each symbol, and refused requests are counted apart.",
    )
    trusted_proxies: Networks = Field(
        LOOPBACK,
        description="Who may say in X-Real-IP where a request comes from, as addresses or networks separated"
        " by commas: our nginx and nobody else.",
    )
    scorer: str = Field("phoenix95", description="Name of the scorer that rates entries.")
    confidence_default: Decimal = Field(
        Decimal("0.8"), ge=0, le=1, description="Confidence of an alert that names none, 0..1."
    )
    confidence_min: Decimal = Field(
        Decimal("0.25"), ge=0, le=1, description="Gate: least confidence of the alert, 0..1."
    )
    score_min: Decimal = Field(Decimal("0.45"), ge=0, le=1, description="Gate: least phoenix95_score, 0..1.")
    final_confidence_min: Decimal = Field(
        Decimal("0.85"), ge=0, le=1, description="Gate: least final_confidence, 0..1."
    )
    entry_age_s_max: int = Field(
        30, ge=1, le=600, description="An entry older than this when BRAIN takes it up expires, seconds (P8)."
    )
    dedupe_window_s: int = Field(
        60,
        ge=1,
        le=3600,
        description="How long an alert without id and time counts as a repetition of an equal one, seconds.",
    )
    signals_kept_days: int = Field(
        365,
        ge=31,
        le=36_500,
        description="Signals that ended longer ago are deleted, with scores, decisions and story, days;"
        " trades stay: PHOENIX_TRADES_KEPT_DAYS.",
    )
    outcome_due_s: int = Field(
        120,
        ge=10,
        le=3600,
        description="A signal without an outcome for this long raises an alarm, seconds (P2).",
    )
