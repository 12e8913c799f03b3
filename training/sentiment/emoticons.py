"""Emoticons and emoji: how they are cut from a text, and what the frequent ones say."""

from __future__ import annotations

from training.tokenizers import WORD

# Eyes, perhaps a nose or a tear, a mouth. A letter is a mouth where no word is on either side, and a slash
# where no address goes on.
_FACES = (
    r"[<>]?[:;=]['\-^o]?(?:[()\[\]{}|@*<>$\\](?!\w)|/(?![/\w]))",
    r"(?<!\w)[:;=]['\-^o]?[dpos3x](?!\w)",
    r"(?<!\w)[(\[][\-^o]?[:;=](?!\w)",
    r"</?3(?!\d)",
    r"[\^\-o>](?:_+|\.)[\^\-o<]|\^\^|\\o/",
)
TOKEN = "|".join((*_FACES, WORD))

POSITIVE = (
    *(":)", ":-)", "=)", ":]", ":d", ":-d", "=d", ";)", ";-)", ":p", ":-p"),
    *(":*", "<3", "^_^", "^^", "(:", ":')"),
    *"😀😁😂🤣😃😄😅😆😉😊😋😎😍😘🥰😇🙂🤗🤩😺😻💖💕💗💘💞💙💚💛💜🧡❤♥👍👏🙌👌💪✨🎉🥳🌟⭐☺💯🏆🤝😌😜",
)
NEGATIVE = (
    *(":(", ":-(", "=(", ":[", ":'(", ">:(", ":/", ":-/", ":\\", ":|", ":-|"),
    *("</3", "-_-", ":s", ":@", ":x"),
    *"😞😟😠😡🤬😢😭😤😩😫😖😣😕🙁☹😒😑😓😔😥😨😰😱😾😿👎💔🤮🤢😷🤒💩🙄😧😦🥺😬",
)
NEUTRAL = (*"📅📍📞📧📦🕐🏠🚗🚆🏢📄📝💻📱🔑🖨🗓📚🎬🎥📺⏰✈🚌",)
