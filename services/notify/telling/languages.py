"""The languages there are. Pure."""

from collections.abc import Mapping

from services.notify.telling.headline_ko import KOREAN_HEADLINE
from services.notify.telling.story_ko import KOREAN_STORY
from services.notify.telling.texts import Language
from services.notify.telling.texts_en import ENGLISH
from services.notify.telling.texts_ko import KOREAN
from shared.headline_words import ENGLISH as ENGLISH_HEADLINE
from shared.headline_words import HeadlineWords
from shared.story_words import ENGLISH as ENGLISH_STORY
from shared.story_words import StoryWords

LANGUAGES: Mapping[str, Language] = {"en": ENGLISH, "ko": KOREAN}
STORIES: Mapping[str, StoryWords] = {"en": ENGLISH_STORY, "ko": KOREAN_STORY}
HEADLINES: Mapping[str, HeadlineWords] = {"en": ENGLISH_HEADLINE, "ko": KOREAN_HEADLINE}
