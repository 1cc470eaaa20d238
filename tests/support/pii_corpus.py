"""Texts made up from a seed: some with things in them that must not leave, some without any.

Every number is drawn; those with check digits are drawn until a check written for this file, or the
issuing body's own published rule, accepts them.
"""

# ruff: noqa: E501, RUF001 — tables of texts, some of which are meant to look alike

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import phonenumbers

from edge_llm.privacy.kinds.phone import DEFAULT_REGIONS
from edge_llm.privacy.national import ALL
from edge_llm.privacy.placeholders import PLACEHOLDER


class Sample(NamedTuple):
    """A text and the secret in it."""

    text: str
    secret: str
    kind: str


Draw = Callable[[random.Random], str]

FIRST = [
    "max",
    "anna",
    "josé",
    "zoë",
    "søren",
    "li",
    "fatima",
    "oleksandr",
    "o'neill",
    "jean-luc",
    "müller",
]
LAST = [
    "mustermann",
    "schmidt",
    "garcía",
    "dupont",
    "nowak",
    "kim",
    "rossi",
    "de.vries",
    "smith",
    "yılmaz",
]
HOSTS = [
    "example.com",
    "mail.example.co.uk",
    "firma.de",
    "münchen.example.org",
    "xn--bcher-kva.example",
    "sub.a-b.io",
]


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(count))


def alphanumeric(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(string.ascii_letters + string.digits) for _ in range(count))


def email(rng: random.Random) -> str:
    first, last, host = rng.choice(FIRST), rng.choice(LAST), rng.choice(HOSTS)
    local = rng.choice(
        [f"{first}.{last}", f"{first}_{rng.randrange(99)}", f"{first}+news", f"{last}-{first[0]}"]
    )
    shape = rng.randrange(12)
    if shape == 0:
        return f"{local} (at) {host.replace('.', ' (dot) ')}"
    if shape == 1:
        return f"{first.replace(chr(39), '').replace('-', '')} dot smith at gmail dot com"
    if shape == 2:
        return f'"{first} {last}"@{host}'
    if shape == 3:
        return f"{local}@{host}".upper()
    return f"{local}@{host}"


def luhn_digit(number: str) -> str:
    total = 0
    for at, char in enumerate(reversed(number)):
        value = int(char) * (2 if at % 2 == 0 else 1)
        total += value // 10 + value % 10
    return str(-total % 10)


CARDS = (
    ("4", 16), ("4", 13), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16), ("34", 15),
    ("37", 15), ("6011", 16), ("65", 16), ("644", 16), ("36", 14), ("300", 14), ("3528", 16),
    ("3589", 16), ("62", 16), ("62", 19), ("5018", 13), ("6759", 18), ("2200", 16), ("6521", 16),
)  # fmt: skip


def card(rng: random.Random) -> str:
    prefix, length = rng.choice(CARDS)
    body = prefix + digits(rng, length - len(prefix) - 1)
    number = body + luhn_digit(body)
    if rng.random() < 0.3:
        return number
    sizes = [4, 6, 5] if length == 15 else [4] * 4 + [3]
    groups, at = [], 0
    for size in sizes:
        groups.append(number[at : at + size])
        at += size
    return rng.choice([" ", "-", "\u00a0", "."]).join(group for group in groups if group)


IBANS = {
    "DE": "dddddddddddddddddd", "GB": "AAAAdddddddddddddd", "FR": "ddddddddddXXXXXXXXXXXdd",
    "NL": "AAAAdddddddddd", "ES": "dddddddddddddddddddd", "IT": "AddddddddddXXXXXXXXXXXX",
    "CH": "dddddXXXXXXXXXXXX", "AT": "dddddddddddddddd", "BE": "dddddddddddd",
    "PL": "dddddddddddddddddddddddd", "NO": "ddddddddddd", "SE": "dddddddddddddddddddd",
    "MT": "AAAAdddddXXXXXXXXXXXXXXXXXX", "TR": "dddddXXXXXXXXXXXXXXXXX", "SA": "ddXXXXXXXXXXXXXXXXXX",
    "BR": "dddddddddddddddddddddddAX", "LC": "AAAAXXXXXXXXXXXXXXXXXXXXXXXX",
}  # fmt: skip


def iban(rng: random.Random) -> str:
    country, shape = rng.choice(list(IBANS.items()))
    alphabets = {"d": string.digits, "A": string.ascii_uppercase, "X": string.digits + "ABCXYZ"}
    body = "".join(rng.choice(alphabets[char]) for char in shape)
    value = "".join(str(ord(c) - 55) if c.isalpha() else c for c in f"{body}{country}00")
    number = f"{country}{98 - int(value) % 97:02}{body}"
    style = rng.randrange(4)
    if style == 0:
        return number
    if style == 1:
        return number.lower()
    grouped = [number[at : at + 4] for at in range(0, len(number), 4)]
    return (" " if style == 2 else "-").join(grouped)


def ip(rng: random.Random) -> str:
    shape = rng.randrange(6)
    if shape < 3:
        first = rng.choice([10, 172, 192, 8, 93, 203, 1])
        rest = {172: [rng.randrange(16, 32)], 192: [168]}.get(first, [rng.randrange(256)])
        return ".".join(map(str, [first, *rest, rng.randrange(256), rng.randrange(1, 255)]))
    if shape == 3:
        return ":".join(f"{rng.randrange(1, 65536):x}" for _ in range(8))
    if shape == 4:
        return f"2001:db8::{rng.randrange(1, 65536):x}:{rng.randrange(1, 65536):x}"
    return rng.choice(
        [
            f"fe80::1ff:fe23:{rng.randrange(4096, 65536):x}:890a",
            f"::ffff:203.0.113.{rng.randrange(256)}",
        ]
    )


def mac(rng: random.Random) -> str:
    pairs = [f"{rng.randrange(256):02x}" for _ in range(rng.choice([6, 6, 6, 8]))]
    shape = rng.randrange(3)
    if shape == 2 and len(pairs) == 6:
        return ".".join(a + b for a, b in zip(pairs[::2], pairs[1::2], strict=True))
    text = (":" if shape else "-").join(pairs)
    return text.upper() if rng.random() < 0.5 else text


def url(rng: random.Random) -> str:
    host = rng.choice(["example.com", "db.internal:5432", "nas.local", "[2001:db8::7]:8080"])
    return rng.choice(
        [
            f"https://admin:{alphanumeric(rng, 9)}@{host}/path?x=1",
            f"postgres://app:{alphanumeric(rng, 12)}@{host}/data",
            f"rtsp://camera:{alphanumeric(rng, 6)}@{host}:554/stream",
            f"mqtt://{alphanumeric(rng, 20)}@{host}",
            f"https://{host}/login?user=7&token={alphanumeric(rng, 24)}",
            f"https://{host}/api?api_key={alphanumeric(rng, 16)}#top",
            f"https://hooks.slack.com/services/T{digits(rng, 8)}/B{digits(rng, 8)}/{alphanumeric(rng, 24)}",
            f"http://{host}:8123/api/webhook/{alphanumeric(rng, 30)}",
        ]
    )


def api_key(rng: random.Random) -> str:
    token = alphanumeric
    return rng.choice(
        [
            f"sk-proj-{token(rng, 48)}", f"sk-{token(rng, 48)}", f"sk-ant-api03-{token(rng, 90)}",
            f"sk-or-v1-{token(rng, 64).lower()}", f"ghp_{token(rng, 36)}", f"gho_{token(rng, 36)}",
            f"github_pat_{token(rng, 22)}_{token(rng, 59)}", f"glpat-{token(rng, 20)}",
            f"xoxb-{digits(rng, 12)}-{digits(rng, 12)}-{token(rng, 24)}", f"AKIA{token(rng, 16).upper()}",
            f"AIza{token(rng, 35)}", f"ya29.{token(rng, 60)}", f"hf_{token(rng, 34)}",
            f"npm_{token(rng, 36)}", f"pypi-{token(rng, 60)}", f"SG.{token(rng, 22)}.{token(rng, 43)}",
            f"sk_live_{token(rng, 24)}", f"rk_test_{token(rng, 24)}", f"whsec_{token(rng, 32)}",
            f"dop_v1_{rng.randbytes(32).hex()}", f"shpat_{rng.randbytes(16).hex()}",
            f"AC{rng.randbytes(16).hex()}", f"{digits(rng, 9)}:AA{token(rng, 33)}",
            f"eyJhbGciOiJIUzI1NiJ9.eyJpc3Mi{token(rng, 20)}.{token(rng, 43)}",
            f"gsk_{token(rng, 52)}", f"xai-{token(rng, 80)}", f"r8_{token(rng, 37)}",
            f"tskey-auth-{token(rng, 17)}", f"-----BEGIN OPENSSH PRIVATE KEY-----\n{token(rng, 64)}\n"
            f"{token(rng, 64)}\n-----END OPENSSH PRIVATE KEY-----",
        ]
    )  # fmt: skip


def password(rng: random.Random) -> str:
    return rng.choice(
        [
            "hunter2",
            "Tr0ub4dor&3",
            f"{alphanumeric(rng, 8)}!",
            "p@ss,w0rd;x",
            "Sommer2026!",
            "$ecr3t(x",
        ]
    )


def secret(rng: random.Random) -> str:
    return rng.choice(
        [rng.randbytes(16).hex(), alphanumeric(rng, 24) + "7", alphanumeric(rng, 30) + "9=="]
    )


def gps(rng: random.Random) -> str:
    lat, lon = rng.uniform(-89, 89), rng.uniform(-179, 179)
    deg, minute, second = rng.randrange(90), rng.randrange(60), rng.randrange(60)
    return rng.choice(
        [
            f"{lat:.4f}, {lon:.4f}", f"{lat:.6f},{lon:.6f}", f"{lat:.5f} {lon:.5f}",
            f"{abs(lat):.4f}°N, {abs(lon):.4f}°E", f"{abs(lat):.3f} S, {abs(lon):.3f} W",
            f"{deg}°{minute}'{second}\"N {deg}°{second}'{minute}\"W",
            f"{deg}° {minute}\u2032 {second}\u2033 N, {deg}° {second}\u2032 {minute}\u2033 E",
            f"N {deg}° {minute}.{second:03}' W {deg}° {second}.{minute:03}'", "8FW4V75V+8Q",
        ]
    )  # fmt: skip


NUMBERS = {
    number.name: shape
    for number, shape in zip(
        ALL,
        (
            "ddd-dd-dddd", "ddd-ddd-ddd", "AAAAddddddHAAAAAdd", "AAAAddddddXXX", "ddd.ddd.ddd-dd",
            "dd.ddd.ddd-d", "dd.ddd.ddd", "AA dd dd dd A", "ddd ddd dddd", "dddddddA", "dd ddd ddd ddd",
            "dd dddddd A ddd", "d dd dd dd ddd ddd dd", "ddddddddA", "YdddddddA", "AAAAAAddAddAdddA",
            "ddddddddd", "dd.dd.dd-ddd.dd", "ddd ddd ddd", "756.dddd.dddd.dd", "dddd dddddd",
            "dddddd-dddd", "dddddd ddddd", "dddddd-dddd", "dddddd-dddA", "ddddddddddd", "ddddddddddd",
            "dddddd/dddd", "ddddddddddddd", "dddddddddd", "ddddddddddd", "ddd-ddd-ddd dd", "ddddddddddd",
            "ddddddddd", "dddd dddd dddd", "AAAPAddddA", "dddddd19dddddddddd", "dddddd-ddddddd",
            "dddd dddd dddd", "SdddddddA", "Adddddd(d)", "A1dddddddd", "ddd ddd ddd", "dddd ddddd d",
            "ddddddddddddd", "ddddddddddd",
        ),
        strict=True,
    )
}  # fmt: skip
NAMES = {
    "US SSN": "my SSN is", "CA SIN": "social insurance number", "MX RFC": "RFC:", "AR DNI": "DNI",
    "GB NHS": "NHS number", "DE tax": "Meine Steuer-ID ist", "NL BSN": "mijn BSN is",
    "PT NIF": "o meu NIF é", "AT insurance": "SVNR", "BG EGN": "ЕГН", "HR OIB": "OIB",
    "IL": "teudat zehut", "IN Aadhaar": "Aadhaar", "JP My Number": "マイナンバー", "AU TFN": "TFN",
    "AU Medicare": "Medicare number", "NG NIN": "NIN", "SE personnummer": "personnummer",
    "DK CPR": "CPR", "CZ SK": "rodné číslo",
}  # fmt: skip


def national_id(rng: random.Random) -> tuple[str, str]:
    """What stands before, and the number."""
    number = rng.choice(ALL)
    shape = NUMBERS[number.name]
    alphabets = {"d": string.digits, "A": string.ascii_uppercase, "X": string.digits + "ABCXYZ"}
    while True:
        text = "".join(rng.choice(alphabets.get(char, char)) for char in shape)
        if number.pattern.fullmatch(text) and number.is_valid(text):
            return NAMES.get(number.name, "number"), text


PHONE_STYLES = ("E164", "INTERNATIONAL", "NATIONAL", "RFC3966")


def phone(rng: random.Random, style: str) -> str:
    while True:
        region = rng.choice(DEFAULT_REGIONS)
        kind = rng.choice(
            [phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE]
        )
        number = phonenumbers.example_number_for_type(region, kind)
        if number is None:
            continue
        tail = rng.randrange(10**4)
        number.national_number = number.national_number // 10**4 * 10**4 + tail
        if phonenumbers.is_valid_number(number):
            break
    text: str = phonenumbers.format_number(number, getattr(phonenumbers.PhoneNumberFormat, style))
    return text.removeprefix("tel:")


def international_phone(rng: random.Random) -> str:
    text = phone(rng, rng.choice(["E164", "INTERNATIONAL", "RFC3966"]))
    shape = rng.randrange(5)
    if shape == 0:
        return text.replace("+", "00", 1)
    if shape == 1 and " " in text:
        code, rest = text.split(" ", 1)
        return (
            f"{code} ({rest.split(' ')[0]}) {' '.join(rest.split(' ')[1:])}"
            if " " in rest
            else text
        )
    if shape == 2:
        return text.replace(" ", ".")
    return text


PLAIN: dict[str, Draw] = {
    "EMAIL": email, "CARD": card, "IBAN": iban, "IP": ip, "MAC": mac, "URL": url, "KEY": api_key,
    "GPS": gps, "PHONE": international_phone,
}  # fmt: skip

AROUND = (
    "{}", "It is {}.", "Please write to {} today, not later.", "({})", "Here: {}\nThanks!", "old {}, new one follows",
    "Kontakt: {} – danke!", "2026-11-22 10:31:07 INFO user={} login ok", "| name | {} |", "`{}`", "- {}", "«{}»",
    "we met at 10:30, then {} came up, it cost $12.50", "<td>{}</td>", "会議は{} です", "x = '{}'  # v1.2.3",
)  # fmt: skip

CALLS = (
    "call me at {}", "Tel: {}", "Phone: {} (after 6 pm)", "my mobile is {}.", "Telefon {}", "Tél. {}", "WhatsApp {}",
    "Fax: {}", "you can reach me on {} today", "Handy: {}", "teléfono: {}", "my phone number is {}, ok?", "text me: {}",
)  # fmt: skip

PASSWORDS = (
    "password: {}", "the wifi password is {}", "PASSWORD={}", '"password": "{}"', "Passwort: {}", "pwd={}",
    "db_password = '{}'", "passphrase: {}",
)  # fmt: skip

SECRETS = (
    "api_key={}", "API_KEY: {}", 'client_secret = "{}"', "Authorization: Bearer {}", "secret: {}", "export TOKEN={}",
    '"access_token": "{}"', "AWS_SECRET_ACCESS_KEY={}",
)  # fmt: skip

CODES = (
    "my PIN is {}",
    "door code: {}",
    "the alarm code is {}",
    "CVV {}",
    "PIN: {}",
    "verification code {}",
)


def secrets(seed: int, count: int) -> Iterator[Sample]:
    """So many texts with one secret each, of every kind in turn."""
    rng = random.Random(seed)
    makers: list[Callable[[], Sample]] = [
        lambda: Sample(rng.choice(CALLS).format(n := phone(rng, "NATIONAL")), n, "PHONE"),
        lambda: Sample(rng.choice(PASSWORDS).format(p := password(rng)), p, "KEY"),
        lambda: Sample(rng.choice(SECRETS).format(s := secret(rng)), s, "KEY"),
        lambda: Sample(rng.choice(CODES).format(c := digits(rng, rng.choice([4, 6]))), c, "KEY"),
        lambda: _identity(rng),
        lambda: _in_json(rng),
    ]
    kinds = list(PLAIN.items())
    for index in range(count):
        at = index % (len(kinds) + len(makers))
        if at < len(kinds):
            kind, draw = kinds[at]
            value = draw(rng)
            yield Sample(rng.choice(AROUND).replace("{}", value), value, kind)
        else:
            yield makers[at - len(kinds)]()


def _identity(rng: random.Random) -> Sample:
    name, number = national_id(rng)
    return Sample(f"{name} {number}", number, "ID")


def _in_json(rng: random.Random) -> Sample:
    """Inside of a document of JSON, escaped as some programs escape."""
    kind, draw = rng.choice(list(PLAIN.items()))
    value = draw(rng)
    text = json.dumps({"id": 7, "items": [{"value": value, "ok": True}]}).replace("@", "\\u0040")
    return Sample(text, value, kind)


def leaks(sample: Sample, redacted: str) -> bool:
    """Whether any part of the secret of some length is still there."""
    shown = PLACEHOLDER.sub("", redacted).replace("\\u0040", "@")
    parts = (
        [sample.secret]
        if len(sample.secret) < 4
        else [sample.secret[at : at + 4] for at in range(len(sample.secret) - 3)]
    )
    around = sample.text.replace(sample.secret, "\0")
    return any(
        part in shown and part not in around and not part.isspace() and any(map(str.isalnum, part))
        for part in parts
    )


ORDINARY = (
    "turn on the kitchen lights and set the bedroom to {n2} degrees",
    "wake me at {h}:{m} tomorrow, and on {d}.{mo}.{y} at {h}:{m}",
    "set a timer for {n2} minutes and {n2} seconds, then dim the lamp to {n2} %",
    "the invoice of {y}-{mo}-{d} over {n3}.{n2} EUR is due on {mo}/{d}/{y}",
    "upgrade from version {n1}.{n2}.{n1} to v{n1}.{n1}.{n2}.{n1}, released {y}-{mo}-{d}T{h}:{m}:{m}Z",
    "the population grew from {n3} {n3} {n3} to {n1},{n3},{n3} between {y} and {y}",
    "it costs ${n2}.{n2}, €{n1}.{n3},{n2} or £{n3}; shares rose by {n1}.{n2} % to {n3}.{n2}",
    "for i in range({n3}): total += values[i] * {n1}.{n3}  # see issue {n4}",
    "def encode(text: str, max_tokens: int = {n4}) -> list[int]: return tokenizer.encode(text)[:max_tokens]",
    "password: str = Field(..., min_length={n1}); token = request.headers.get('Authorization')",
    "SELECT id, name FROM orders WHERE total > {n3} AND created_at >= '{y}-{mo}-{d}' LIMIT {n2};",
    "std::vector<int> a{{{n1}, {n2}, {n3}}}; foo::bar::baz(a.begin(), a.end());",
    "commit {hex40} fixes the leak in module {n1} (#{n4}), uuid {uuid}",
    "order no. {n8}, item {n6}, tracking number is on page {n3} of {n3}",
    "mix {n3} g of flour, {n1}/{n1} l of milk and {n1} eggs; bake {n2} min at {n3} °C",
    "Bach was born in {y}, BWV {n4}; see pages {n3}-{n3} and chapter {n1}.{n1}.{n1}",
    "{n2} {n2} {n2} {n2} {n2} {n2} were the numbers drawn, and {n2} {n2} {n2} {n2} last week",
    "the match ended {n1}:{n1} ({n1}:{n1}), {n2} {n3} people watched; the 4x{n3} m relay took {m}:{m}.{n2}",
    "ping took {n1}.{n3} ms, {n4} rows in {n1}.{n2} s, {n8} bytes sent, load {n1}.{n2} {n1}.{n2} {n1}.{n2}",
    "pi is 3.14159265358979, e is 2.718281828, and 2**{n2} has {n1} digits",
    "meet me in room {n3} on floor {n1} at half past {n1}, building {n2}",
    "my password is wrong again, please reset it; the token is invalid and the secret is stored in the vault",
    "is the garage door open? call the elevator, then text Anna that dinner is at {h}:{m}",
    "ISBN 978-3-{n4}-{n4}-{n1}, DIN EN ISO {n4}-{n1}:{y}, RFC {n4}, CVE-{y}-{n4}{n1}",
    "das Wohnzimmer auf {n2},{n1} Grad, Rolladen um {h}.{m} Uhr schließen, {n1}.{n3},{n2} Euro Strom",
    "température de {n2} degrés, {n1} 000 habitants, le {d}/{mo}/{y} à {h}h{m}",
    "in {y} the firm had {n1}.{n1} million users, {n3}.{n3} in Spain, up {n2} percent since {y}-{y}",
    "matrix [[{n1}, {n2}], [{n3}, {n4}]], x = {n1}.{n1}e-{n1}, array({n4})[{n2}:{n3}]",
    "bus {n3} leaves every {n2} minutes from stop {n2}, line U{n1}, track {n1}; flight LH{n4} at {h}:{m}",
    "timestamp {n10}, epoch ms {n10}{n3}, request id {hex8}-{n4}, exit code {n3}, port {n4}, pin {n2}",
    "the router is at localhost:{n4} (127.0.0.1), netmask 255.255.255.0; section 4.3.2.1 of the manual",
    "Use `git rebase -i HEAD~{n1}` and `docker run -p {n4}:{n4} image:{n1}.{n2}.{n1}-alpine{n1}.{n2}`",
    "We measured {n1}.{n3} ± 0.{n3} at {n3} K; the sensor reported {n4}, {n4}, {n4} and {n4} counts.",
    "resolution {n4}x{n4}, 16:9, {n2} fps, {n1}.{n1} GB; screen of {n2}.{n1} inches, battery {n4} mAh",
    "temperature sensor.living_room is {n2}.{n1}, light.kitchen brightness {n3}, since {h}:{m}:{m}",
)  # fmt: skip


def ordinary(seed: int, count: int) -> Iterator[str]:
    """So many texts without anything that must not leave."""
    rng = random.Random(seed)
    for index in range(count):
        template = ORDINARY[index % len(ORDINARY)]
        yield _filled(template, rng)


def _number(rng: random.Random, count: int) -> str:
    return str(rng.randrange(10 ** (count - 1), 10**count))


def _filled(template: str, rng: random.Random) -> str:
    makers: dict[str, Callable[[], str]] = {
        "h": lambda: f"{rng.randrange(24):02}", "m": lambda: f"{rng.randrange(60):02}",
        "d": lambda: f"{rng.randrange(1, 29):02}", "mo": lambda: f"{rng.randrange(1, 13):02}",
        "y": lambda: str(rng.randrange(1900, 2030)), "hex40": lambda: rng.randbytes(20).hex(),
        "hex8": lambda: rng.randbytes(4).hex(),
        "uuid": lambda: "-".join(rng.randbytes(n).hex() for n in (4, 2, 2, 2, 6)),
        "n10": lambda: f"17{digits(rng, 8)}",
**{f"n{n}": partial(_number, rng, n) for n in (1, 2, 3, 4, 6, 8)},
    }  # fmt: skip
    text = (
        template.replace("{{{", "{{{{{").replace("}}}", "}}}}}") if "{{{" in template else template
    )
    for name, make in makers.items():
        while "{" + name + "}" in text:
            text = text.replace("{" + name + "}", make(), 1)
    return text.replace("{{", "{").replace("}}", "}")
