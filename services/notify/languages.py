"""The languages there are. Pure."""

from collections.abc import Mapping

from services.notify.texts import Language
from services.notify.texts_en import ENGLISH
from services.notify.texts_ko import KOREAN

LANGUAGES: Mapping[str, Language] = {"en": ENGLISH, "ko": KOREAN}
