"""How an image retires: deprecated, disabled, protected from deregistration.

    deprecated   hidden from others' lists after a moment; launches by id go on
    disabled     available ◀──▶ disabled; launches fail, all launch permissions are gone for good
    protected    not deregistered; with a cooldown also not for 24 hours after the protection ends

Source: EC2 User Guide, "Deprecate", "Disable", "Protect an Amazon EC2 AMI from deregistration".
"""

from datetime import datetime, timedelta
from typing import Final

from amiable.model.errors import IncorrectState, InvalidParameterValue, OperationNotPermitted
from amiable.model.image import Image, ImageState

DEPRECATION_YEARS_MAX: Final = 10
PUBLIC_YEARS_MAX: Final = 2
HALF_A_MINUTE: Final = timedelta(seconds=30)
COOLDOWN: Final = timedelta(hours=24)
WITH_COOLDOWN: Final = "enabled-with-cooldown"
WITHOUT_COOLDOWN: Final = "enabled-without-cooldown"
UNPROTECTED: Final = "disabled"


# ── deprecation ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def deprecation(image: Image, asked: datetime, *, is_public: bool, now: datetime) -> datetime:
    """The whole minute nearest to what is asked for; refuses the past and what is too far away."""
    if asked < now:
        raise _invalid(asked, "A deprecation time cannot be in the past.")
    latest = to_minute(add_years(image.created_at, PUBLIC_YEARS_MAX))
    if is_public and asked >= latest + HALF_A_MINUTE:
        raise _invalid(
            asked,
            f"The deprecation time of a public image cannot be more than {PUBLIC_YEARS_MAX} years after its creation: {_text(latest)}.",
        )
    if asked > add_years(now, DEPRECATION_YEARS_MAX):
        raise _invalid(asked, f"A deprecation time cannot be more than {DEPRECATION_YEARS_MAX} years from now.")
    return to_minute(asked)


def deprecation_when_public(image: Image) -> datetime:
    """When an image that becomes public is deprecated: two years after its creation, or when it was to be before that."""
    latest = to_minute(add_years(image.created_at, PUBLIC_YEARS_MAX))
    return latest if image.deprecation_at is None else min(latest, image.deprecation_at)


def check_deprecation_may_go(image: Image, *, is_public: bool) -> None:
    """Refuses to keep a public image for ever."""
    if is_public:
        raise OperationNotPermitted(
            f"The deprecation of the public image {image.id} cannot be disabled. Make the image private first.",
            hint=f"aws ec2 reset-image-attribute --image-id {image.id} --attribute launchPermission",
        )


def to_minute(moment: datetime) -> datetime:
    """The nearest whole minute; half a minute rounds up."""
    return (moment + HALF_A_MINUTE).replace(second=0, microsecond=0)


def add_years(moment: datetime, years: int) -> datetime:
    """The same day and time ``years`` later; 29 February becomes 28 February where there is none."""
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:
        return moment.replace(year=moment.year + years, day=28)


def _invalid(moment: datetime, why: str) -> InvalidParameterValue:
    return InvalidParameterValue(parameter="DeprecateAt", value=_text(moment), why=why)


def _text(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


# ── disabling ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def check_may_disable(image: Image) -> None:
    """Refuses to disable what is neither available nor disabled already."""
    _check_state(image, "disabled")


def check_may_enable(image: Image) -> None:
    """Refuses to enable what is neither disabled nor available already."""
    _check_state(image, "enabled")


def _check_state(image: Image, verb: str) -> None:
    if image.state not in (ImageState.AVAILABLE, ImageState.DISABLED):
        raise IncorrectState(f"The image {image.id} is {image.state.value}: it cannot be {verb}.")


def check_may_share(image: Image) -> None:
    """Refuses to share a disabled image."""
    if image.state is ImageState.DISABLED:
        raise IncorrectState(
            f"The image {image.id} is disabled: it cannot be shared.",
            hint=f"aws ec2 enable-image --image-id {image.id}",
        )


# ── protection ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def check_may_deregister(image: Image, now: datetime) -> None:
    """Refuses an image that is protected, or whose cooldown is not over."""
    if image.deregistration_protection is not None:
        raise OperationNotPermitted(
            f"The image {image.id} cannot be deregistered because deregistration protection is enabled for it.",
            hint=f"aws ec2 disable-image-deregistration-protection --image-id {image.id}",
        )
    if image.protected_until is not None and now < image.protected_until:
        raise OperationNotPermitted(
            f"The image {image.id} cannot be deregistered before {_text(image.protected_until)}: "
            "the cooldown after its deregistration protection was disabled is not over.",
        )


def protected_until(image: Image, now: datetime) -> datetime | None:
    """When a protection that ends now lets the image be deregistered; a cooldown that runs is never cut short."""
    if image.deregistration_protection != WITH_COOLDOWN:
        return image.protected_until
    return now + COOLDOWN
