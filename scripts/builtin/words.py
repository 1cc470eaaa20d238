"""The words sentences are made of: real names of rooms and devices, and invented ones.

Half of all names are invented from syllables, so that the model learns to copy a name letter by
letter instead of choosing one it has seen. `Names(unseen=True)` draws only from words and
syllables that training never sees.
"""

from __future__ import annotations

import random

from scripts.builtin.templates import split_words

AREAS = split_words(
    "kitchen|living room|bedroom|bathroom|hallway|office|garage|garden|attic|basement|dining room|"
    "guest room|kids room|nursery|study|laundry room|utility room|pantry|porch|patio|terrace|"
    "balcony|conservatory|playroom|gym|library|lounge|den|foyer|entrance|corridor|master bedroom|"
    "family room|sun room|workshop|shed|cellar|closet|studio|home office|back yard|front yard|"
    "driveway|ensuite|toilet|landing|mud room|tv room|music room|game room|spare room|pool|"
    "greenhouse|carport|stairs|bar|barn|cottage"
)
UNSEEN_AREAS = split_words(
    "orangery|boot room|scullery|parlour|loft|sauna|snug|veranda|wine cellar|map room|stable|"
    "vestibule|powder room|darkroom|gazebo"
)
FLOORS = split_words(
    "upstairs|downstairs|ground floor|first floor|second floor|third floor|top floor|lower floor|"
    "upper floor|main floor"
)
PEOPLE = split_words(
    "anna|ben|maria|john|lucas|emma|noah|olivia|sara|tom|mia|leo|grandma|dad|mom|alex|nina|omar|"
    "priya|yuki|diego|clara|felix|ingrid|marek|zoe"
)
UNSEEN_PEOPLE = split_words("hugo|freya|tariq|wanda|kofi|selma|bruno|aiko")

DEVICES: dict[str, list[str]] = {
    "switch": split_words(
        "desk lamp|floor lamp|lamp|table lamp|bedside lamp|tv|television|radio|heater|coffee maker|"
        "coffee machine|kettle|toaster|oven|dishwasher|washing machine|dryer|humidifier|"
        "dehumidifier|air purifier|air conditioner|computer|printer|router|monitor|speaker|"
        "soundbar|projector|ceiling fan|ceiling light|night light|reading light|porch light|"
        "fairy lights|christmas lights|string lights|christmas tree|aquarium|sprinkler|"
        "water heater|boiler|towel rail|doorbell|camera|siren|pool pump|fountain|fireplace|"
        "extractor fan|tower fan|desk fan|strip light|led strip|lava lamp|smart plug|"
        "electric blanket|movie mode|stereo|freezer|charger|microwave"
    ),
    "light": split_words(
        "desk lamp|floor lamp|lamp|table lamp|bedside lamp|ceiling light|night light|"
        "reading light|fairy lights|string lights|led strip|strip light|lava lamp|chandelier|"
        "spotlight|lantern|mood light|tv backlight"
    ),
    "cover": split_words(
        "garage door|front gate|gate|roller shutter|awning|skylight|blackout blind|roof window|"
        "side gate|barn door|projector screen|pergola|left curtain|right curtain|pet door"
    ),
    "lock": split_words(
        "front door|back door|side door|garage door|main door|gate|safe|patio door|cellar door|"
        "bike shed|letterbox|smart lock|door"
    ),
    "fan": split_words("ceiling fan|tower fan|desk fan|extractor fan|air purifier|range hood"),
    "media": split_words(
        "tv|television|radio|speaker|soundbar|stereo|record player|kitchen speaker|"
        "bedroom speaker|living room tv|projector|tablet|bedroom tv|sound system|smart speaker"
    ),
    "vacuum": split_words("vacuum|robot vacuum|roomba|hoover|vacuum cleaner|robot|dusty|mop"),
    "mower": split_words("lawn mower|mower|robot mower|lawnmower|mowbot|grass cutter"),
    "thing": split_words(
        "washing machine|dryer|dishwasher|oven|phone|tablet|alarm|doorbell|robot|printer|car|"
        "boiler|freezer|heat pump|car charger|solar panel|water meter|fish tank|smoke detector|"
        "garage door|front door|letterbox|thermostat"
    ),
    "timer": split_words(
        "pizza|pasta|egg|tea|laundry|bread|rice|workout|homework|cake|nap|chicken|oven|study|"
        "bath|potatoes|roast"
    ),
    "list": split_words(
        "to-do|todo|chores|packing|wish|work|holiday|hardware|party|christmas|reading|weekend|"
        "garden|camping|homework"
    ),
}
DEVICES["player"] = DEVICES["media"]
DEVICES["climate"] = split_words(
    "air conditioner|radiator|heat pump|boiler|fridge|freezer|oven|water heater|floor heating|"
    "hot tub|wine fridge"
)
UNSEEN_DEVICES = split_words(
    "jukebox|bread oven|turntable|egg cooker|foot bath|paper shredder|waffle iron|telescope|"
    "wall oven|beer tap|gramophone|incubator|kiln|model railway"
)
HEAD_NOUNS = split_words("lamp|heater|plug|tv|radio|pump|screen|socket|speaker|machine|gate|door")
KIND_NOUNS: dict[str, tuple[str, ...]] = {
    "light": ("lamp", "spotlight", "lantern", "chandelier"),
    "cover": ("blind", "curtain", "gate", "shutter", "awning", "skylight"),
    "fan": ("ventilator", "blower", "purifier"),
    "player": ("tv", "radio", "speaker", "stereo"),
    "vacuum": ("vacuum", "hoover", "robot vacuum"),
    "mower": ("mower", "lawn mower"),
    "climate": ("radiator", "boiler", "air conditioner", "oven"),
}
"""Kinds whose invented names need a noun: without it the sentence would fit two intents."""
LOCAL_NOUNS = split_words("lamp|tv|radio|heater|speaker|plug")

GROCERIES = split_words(
    "milk|bread|eggs|butter|cheese|apples|bananas|rice|pasta|coffee|tea|sugar|flour|onions|garlic|"
    "tomatoes|chicken|toilet paper|dish soap|olive oil|orange juice|dog food|cat litter|batteries|"
    "light bulbs|toothpaste|peanut butter|ice cream|sparkling water|oat milk|frozen peas|"
    "two lemons|a dozen eggs|cereal|yogurt|washing powder|honey|salt"
)
CHORES = split_words(
    "call mom|water the plants|pay the rent|book the dentist|clean the garage|walk the dog|"
    "buy stamps|fix the shelf|renew my passport|wash the car|return the parcel|feed the cat|"
    "sunscreen|passport|mow the lawn|order a new filter|change the sheets|email the teacher|"
    "iron the shirts|socks|tent|a new drill"
)
MESSAGES = split_words(
    "dinner is ready|it is time for bed|we are leaving in five minutes|breakfast is on the table|"
    "the taxi is here|please come downstairs|lunch is served|someone is at the door|"
    "the movie is starting|happy birthday|good morning everyone|i am home|homework time|"
    "the pizza has arrived|please be quiet|we need to go|grandma is on the phone|"
    "the washing is done|welcome home|it is snowing outside|time to get up|hello there"
)
MEDIA = split_words(
    "jazz|classical music|the beatles|some rock|bohemian rhapsody|taylor swift|relaxing music|"
    "the morning news|miles davis|rain sounds|christmas songs|daft punk|abba|piano music|"
    "stairway to heaven|bach|the lion king|star wars|smooth hits|white noise|"
    "road trip songs|bob marley|yesterday|the daily"
)
MEDIA_CLASSES = split_words("album|artist|playlist|podcast|movie|track|channel|music")
COLORS = split_words(
    "red|green|blue|yellow|orange|purple|pink|white|turquoise|cyan|magenta|violet|gold|lime|teal|"
    "lavender|crimson|indigo|salmon|brown"
)
PLACES = split_words("paris|london|berlin|tokyo|rome|oslo|madrid|home|boston|lisbon|chicago|delhi")

_ONSETS = split_words(
    "b|br|c|ch|cl|d|dr|f|fl|g|gr|h|j|k|kl|l|m|n|p|pr|qu|r|s|sh|sl|st|t|tr|v|w|y|z|"
)
_VOWELS = split_words("a|e|i|o|u|ai|ea|ee|ie|oo|ou|y|ei|io")
_CODAS = split_words("|||b|ck|d|g|l|ll|m|n|nd|p|r|rn|s|sk|ss|st|t|x|th")
_ACCENTS = (("e", "é"), ("u", "ü"), ("o", "ö"), ("a", "å"), ("o", "ø"), ("i", "í"), ("a", "ä"))
_UNSEEN_ONSETS = split_words("gl|pl|sc|sm|sn|sp|spr|str|th|thr|tw|wh|bl|cr|fr|gw|zh|sw")
_UNSEEN_VOWELS = split_words("a|e|i|o|u|au|oa|ia|ua|oe|ue|eo")
_UNSEEN_CODAS = split_words("|||ct|ft|lk|mp|ng|nk|pt|rd|rk|rt|sh|tch|lt|v|z|rm|lm")


class Names:
    """Draws names of places, devices and people from one random stream."""

    def __init__(self, rng: random.Random, *, unseen: bool = False) -> None:
        self.rng = rng
        self.unseen = unseen

    def word(self) -> str:
        """An invented word of one to three syllables, three letters at least."""
        while True:
            length = self.rng.choices((1, 2, 3), (2, 6, 2))[0]
            word = "".join(self._syllable() for _ in range(length))
            if len(word) > 2:
                return self._accent(word) if self.rng.random() < 0.04 else word

    def phrase(self) -> str:
        """One or two invented words."""
        count = 1 if self.rng.random() < 0.7 else 2
        return " ".join(self.word() for _ in range(count))

    def area(self) -> str:
        """A room such as `kitchen`, `blorvik`, `anna's room` or `bedroom 2`."""
        roll = self.rng.random()
        if roll < 0.42:
            return self.rng.choice(UNSEEN_AREAS if self.unseen else AREAS)
        if roll < 0.84:
            return self.phrase()
        if roll < 0.91:
            return f"{self.word()} room"
        if roll < 0.96:
            return f"{self.person()}'s room"
        return f"{self.rng.choice(('bedroom', 'bathroom', 'office', 'room'))} {self._number()}"

    def device(self, kind: str) -> str:
        """A device of `kind` (a key of `DEVICES`), real or invented."""
        if kind in KIND_NOUNS:
            return self._device_with_noun(kind)
        roll = self.rng.random()
        if roll < 0.48:
            return self.rng.choice(UNSEEN_DEVICES if self.unseen else DEVICES[kind])
        if roll < 0.78 or kind in ("timer", "list"):
            return self.phrase()
        if roll < 0.88:
            return f"{self.word()} {self.rng.choice(HEAD_NOUNS)}"
        if roll < 0.93:
            return f"{self.person()}'s {self.rng.choice(LOCAL_NOUNS)}"
        if roll < 0.97:
            return f"{self.area()} {self.rng.choice(LOCAL_NOUNS)}"
        return f"{self.rng.choice(HEAD_NOUNS)} {self._number()}"

    def person(self) -> str:
        """A first name, real or invented."""
        if self.rng.random() < 0.5:
            return self.word()
        return self.rng.choice(UNSEEN_PEOPLE if self.unseen else PEOPLE)

    def free_text(self, known: list[str]) -> str:
        """A thing to buy, play or announce: from `known`, invented, or both mixed."""
        roll = self.rng.random()
        if roll < 0.4 and not self.unseen:
            return self.rng.choice(known)
        if roll < 0.7:
            return self.phrase()
        return f"{self.rng.choice(known)} {self.word()}"

    def _device_with_noun(self, kind: str) -> str:
        roll = self.rng.random()
        if roll < 0.4 and not self.unseen:
            return self.rng.choice(DEVICES[kind])
        noun = self.rng.choice(KIND_NOUNS[kind])
        if roll < 0.85:
            return f"{self.phrase()} {noun}"
        return f"{self.person()}'s {noun}"

    def _syllable(self) -> str:
        parts = (_ONSETS, _VOWELS, _CODAS)
        if self.unseen:
            parts = (_UNSEEN_ONSETS, _UNSEEN_VOWELS, _UNSEEN_CODAS)
        return "".join(self.rng.choice(part) for part in parts)

    def _accent(self, word: str) -> str:
        plain, accented = self.rng.choice(_ACCENTS)
        return word.replace(plain, accented, 1)

    def _number(self) -> int:
        return self.rng.randint(1, 12)
