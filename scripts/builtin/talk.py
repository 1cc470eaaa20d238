"""Sentences that ask for no call: small talk with short replies, and questions to refuse."""

from __future__ import annotations

from typing import NamedTuple

from scripts.builtin.templates import SlotRef, expand, split_words
from scripts.builtin.words import AREAS, DEVICES, GROCERIES, PLACES, Names

CAPABILITIES = "I can control lights, covers, locks, climate, media, timers and lists in this home."


class SmallTalk(NamedTuple):
    """Things people say in passing, and the one reply to all of them."""

    reply: str
    templates: tuple[str, ...]


SMALL_TALK: tuple[SmallTalk, ...] = (
    SmallTalk(
        "Hello! What can I do for you?",
        (
            "hello",
            "hi",
            "hey",
            "hi there",
            "hello there",
            "hey there",
            "(hello|hi|hey) (house|assistant|computer)",
            "good afternoon",
            "greetings",
            "howdy",
            "hello again",
            "(hello|hi|hey), are you there",
        ),
    ),
    SmallTalk("Good morning!", ("good morning", "morning", "good morning (house|everyone|to you)")),
    SmallTalk(
        "Good night!", ("good night", "night night", "goodnight", "sleep well", "i'm going to bed")
    ),
    SmallTalk("Good evening!", ("good evening", "evening", "good evening (house|to you)")),
    SmallTalk(
        "You're welcome.",
        (
            "thanks",
            "thank you",
            "thanks a lot",
            "thank you very much",
            "thank you so much",
            "cheers",
            "many thanks",
            "(great|perfect|nice), thank you",
            "ok thanks",
            "(well done|good job)",
        ),
    ),
    SmallTalk(
        "Goodbye!", ("goodbye", "bye", "bye bye", "see you [later|soon]", "i'm leaving", "farewell")
    ),
    SmallTalk(
        CAPABILITIES,
        (
            "what can you do",
            "what can i say",
            "help",
            "help me",
            "how can you help [me]",
            "what are you able to do",
            "what do you do",
            "what are you for",
            "what commands do you know",
        ),
    ),
    SmallTalk(
        "I am the assistant of this home.",
        ("who are you", "what are you", "what is your name", "what's your name", "are you a robot"),
    ),
    SmallTalk("I am fine, thank you.", ("how are you", "how are you doing", "how's it going")),
)

TOPICS = split_words(
    "photosynthesis|the moon|black holes|democracy|the french revolution|gravity|quantum physics|"
    "the stock market|chess|football|the roman empire|dinosaurs|volcanoes|dna|electricity|"
    "a light bulb|thermostats|the internet|climate change|a fan|garage doors|inflation|sharks|"
    "shakespeare|world war two|penguins|computers|the human heart|glass|locks|windows|timers|"
    "the weather on mars|a vacuum|music theory|love|the speed of light|time zones|curtains|"
    "refrigerators|bread|vaccines|space travel|a mortgage|taxes|python|linear algebra|bees"
)
WORKS = split_words(
    "hamlet|the mona lisa|war and peace|the odyssey|bohemian rhapsody|star wars|the iliad|"
    "harry potter|moby dick|the starry night|romeo and juliet|the lord of the rings|imagine"
)
DEEDS = split_words(
    "fix a leaky tap|cook rice|tie a tie|install a light switch|lose weight|learn spanish|"
    "invest money|change a tire|write a cover letter|remove a stain|paint a wall|sleep better|"
    "bake bread|solve a cubic equation|reset a router|wire a lamp|clean an oven|build a shed|"
    "train a dog|choose a thermostat|meditate|play chess|get a visa|grow tomatoes|"
    "open a bank account"
)
WRITINGS = split_words(
    "poem|story|email|letter|song|haiku|speech|essay|report|joke|tweet|recipe|python script|"
    "shopping guide|cover letter|limerick|summary"
)
LANGUAGES = split_words("french|spanish|german|italian|latin|japanese|dutch|polish|swedish|chinese")
ANIMALS = split_words("cat|whale|spider|horse|elephant|snail|dog|penguin|bee|giraffe|mouse|owl")

_HOME_WORDS = (*DEVICES["switch"], *DEVICES["thing"], *GROCERIES, *AREAS)

REFUSED = (
    "who (wrote|painted|composed|made|directed) {work}",
    "who (invented|discovered) {topic}",
    "who (is|was) {someone}",
    "who is the (president|king|queen|mayor|prime minister) of {somewhere}",
    "who won the (world cup|election|match|super bowl|race) [in {number}]",
    "what is the capital of {somewhere}",
    "what is the population of {somewhere}",
    "what (language|currency) do they (speak|use) in {somewhere}",
    "what is {topic}",
    "what are {topic}",
    "what does {word} mean",
    "what is the meaning of {word}",
    "what is the meaning of life",
    "what is the (height|weight|age|size|price) of {thing}",
    "what is the temperature (of the sun|on mars|of boiling water|of lava)",
    "what (happened|is happening) in {somewhere} [in {number}]",
    "what happened in {number}",
    "what is {number} (plus|minus|times|divided by|to the power of) {number}",
    "what's {number} (+|-|*|x|/) {number}",
    "{number} (+|-|*|/|plus|times) {number}",
    "calculate {number} (plus|times|minus) {number}",
    "what is the square root of {number}",
    "what is {number} percent of {number}",
    "solve {number}x (+|-) {number} = {number}",
    "convert {number} (miles|pounds|dollars|feet|ounces) to (kilometers|kilos|euros|meters|grams)",
    "how many (people|stars|rivers|cities) are there in {somewhere}",
    "how many (miles|kilometers) is it to {somewhere}",
    "how many legs does a {animal} have",
    "how far is (it to |){somewhere} from {somewhere}",
    "how old is {someone}",
    "how tall is {someone}",
    "how does {topic} work",
    "how do {topic} work",
    "how do i {deed}",
    "how can i {deed}",
    "how do you say {word} in {language}",
    "how do you spell {word}",
    "how long does it take to {deed}",
    "how much (is|does) a {word} [cost]",
    "how fast can a {animal} run",
    "when was {someone} born",
    "when did {someone} die",
    "when was {work} written",
    "when (did|does) the {word} war (start|end)",
    "why is (the sky blue|grass green|the sea salty|water wet)",
    "why do {animal}s {word}",
    "why does {topic} (exist|matter)",
    "why am i so (tired|sad|happy)",
    "where was {someone} born",
    "where does {topic} come from",
    "where can i buy (a|an|some) {word}",
    "which country has the most {word}",
    "which is better, {word} or {word}",
    "(explain|describe) {topic}",
    "explain {topic} (to a child|simply|in detail)",
    "tell me about {topic}",
    "tell me about {somewhere}",
    "tell me (a joke|a story|a riddle|something funny|a fun fact)",
    "tell me the (story|history) of {topic}",
    "give me (a recipe|ideas|tips|advice) for {word}",
    "give me a (synonym|definition) of {word}",
    "write (a|an|me a) {writing} about {topic}",
    "write (a|an|me a) {writing} about the {area}",
    "write (a|an|me a) {writing} to {someone}",
    "write a function that (sorts|reverses|adds) {word}",
    "translate {word} (into|to) {language}",
    "translate turn on the light (into|to) {language}",
    "summarize {work}",
    "summarize this text: {gibberish}",
    "correct my grammar: {gibberish}",
    "recommend (a|me a) (book|movie|restaurant|game) (about|in) {word}",
    "should i (buy|sell|eat|try) {word}",
    "do you (like|believe in|know|understand) {topic}",
    "do you know {someone}",
    "do you love me",
    "are you (alive|human|smart|happy|real|conscious)",
    "can you (sing|dance|drive|swim|think|feel)",
    "can you help me with my {word} homework",
    "can you (write|draw|code) (a|me a) {writing}",
    "is {topic} (dangerous|real|important|healthy|expensive)",
    "is {someone} (married|dead|famous|rich)",
    "is it true that {topic} is {word}",
    "did {someone} really {deed}",
    "book a (flight|hotel|table|taxi) (to|in) {somewhere}",
    "order (a pizza|some food|an uber|a taxi)",
    "order a {word} (online|for me|from {somewhere})",
    "call {someone}",
    "call (a doctor|the police|a taxi|my boss)",
    "text {someone} (that|saying) {gibberish}",
    "send an email to {someone}",
    "read (me my emails|the news|my messages)",
    "show me (pictures|a map) of {thing}",
    "search (the web|online|google) for {topic}",
    "google {topic}",
    "let's (play a game|talk about {topic}|chat|play chess)",
    "i (am bored|feel sad|am hungry|have a headache|love you|am tired of {word})",
    "i think that {topic} is {word}",
    "my {word} is {word}",
    "{gibberish}",
    "{gibberish} {gibberish}",
    "the {word} is {word}",
    "the (light|lamp|door|fan|kitchen) is a {word}",
    "what is a (lamp|thermostat|fan|timer|vacuum|curtain|garage|dimmer)",
    "who invented the (lamp|thermostat|fan|timer|vacuum|light bulb|lock|television)",
    "how many (lamps|lights|fans|locks) does {somewhere} have",
    "how does a (lamp|thermostat|fan|timer|vacuum|light bulb|lock|television) work",
    "what color is (the sky|a {animal}|a {word}|an orange)",
    "what (lamp|fan|vacuum|lock|tv) should i buy",
    "what (time|day) is it in {somewhere}",
    "what is the best (lamp|book|movie|phone|car|way to {deed})",
    "compare {topic} and {topic}",
    "list the (planets|continents|{word} of {somewhere})",
    "name three {word}",
    "{topic}",
    "{someone}",
    "what would happen if {topic} {word}",
    "what do you think (of|about) {topic}",
    "how (big|deep|old|heavy) is {thing}",
    "make up a (story|song|name) (for|about) {thing}",
)


def say(template: str, names: Names) -> str:
    """One reading of a template of this module, in lower case without final punctuation."""
    parts = expand(template, names.rng, {})
    return "".join(_fill(part, names) if isinstance(part, SlotRef) else part for part in parts)


def _fill(ref: SlotRef, names: Names) -> str:
    rng = names.rng
    choices: dict[str, list[str]] = {
        "topic": TOPICS,
        "work": WORKS,
        "deed": DEEDS,
        "writing": WRITINGS,
        "language": LANGUAGES,
        "animal": ANIMALS,
        "area": AREAS,
    }
    if ref.filler in choices:
        # Invented topics teach that an unknown word alone does not make a command.
        invent = ref.filler in ("topic", "work") and rng.random() < 0.35
        return names.phrase() if invent else rng.choice(choices[ref.filler])
    if ref.filler == "number":
        return str(rng.randint(2, rng.choice((12, 100, 2000))))
    if ref.filler == "somewhere":
        return rng.choice(PLACES) if rng.random() < 0.4 else names.phrase()
    if ref.filler == "someone":
        return f"{names.person()} {names.word()}"
    if ref.filler == "thing":
        return f"the {names.phrase()}" if rng.random() < 0.6 else rng.choice(TOPICS)
    if ref.filler == "gibberish":
        return " ".join(names.word() for _ in range(rng.randint(1, 6)))
    # Words of the home occur in questions too: they alone do not make a command.
    return rng.choice(_HOME_WORDS) if rng.random() < 0.4 else names.word()
