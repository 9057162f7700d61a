"""What RISK can be told: its password, the profile of limits, single limits. It reads nothing but the
settings.
"""

from pydantic import Field, SecretStr

from services.risk.profiles import PROFILES, LimitFault, Limits, Profile, with_changes
from shared.errors import OperatorNeeded
from shared.settings import Settings


class RiskSettings(Settings):
    """The settings of RISK."""

    risk_db_password: SecretStr = Field(description="Password of the database role phoenix_risk.")
    risk_profile: Profile = Field(
        Profile.MISSION, description="Set of limits: mission, balanced (recommended for live) or bench."
    )
    risk_limits: dict[str, str | int | float] = Field(
        default_factory=dict,
        description='Single limits over the profile, as JSON: {"positions_max": 5}; names as in GET /status.',
    )

    signals_kept_days: int = Field(
        365,
        ge=31,
        le=36_500,
        description="Signals that ended longer ago are deleted, with scores, decisions and story, days;"
        " trades stay: PHOENIX_TRADES_KEPT_DAYS.",
    )
    disk_free_min_mb: int | None = Field(
        None,
        ge=0,
        description="With less room on a disk of ours no position is opened, MB; without it 250, or a tenth"
        " of a disk smaller than 2.5 GB.",
    )
    disk_paths: str = Field(
        "/",
        min_length=1,
        description="Where that room is looked for, separated by `:`; start.sh names its own directories.",
    )

    def limits(self) -> Limits:
        """Return the profile with the single limits on top.

        Raises:
            OperatorNeeded: a name or a value of `risk_limits` cannot be used.
        """
        try:
            return with_changes(PROFILES[self.risk_profile], self.risk_limits)
        except LimitFault as fault:
            raise OperatorNeeded(f"PHOENIX_RISK_LIMITS: {fault}") from None
