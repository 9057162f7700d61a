"""The languages there are. Pure."""

from collections.abc import Mapping

from services.notify.telling.texts import Language
from services.notify.telling.texts_en import ENGLISH
from services.notify.telling.texts_ko import KOREAN

LANGUAGES: Mapping[str, Language] = {"en": ENGLISH, "ko": KOREAN}
