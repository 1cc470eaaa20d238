"""A short English text to compare two forms of a model on, where the caller brings none."""

from __future__ import annotations

SAMPLE_TEXT = """\
The kettle had just boiled when the lights went out in the whole street. Anna found the torch in
the second drawer, behind the batteries, and went down to look at the fuses. All of them were in
place. "It is not us," she called up the stairs. "The bakery is dark as well."

A heat pump moves warmth instead of making it. For one unit of electricity it brings three or four
units of heat into the house, as long as the difference in temperature stays small. That is why
floors at 35 degrees suit it better than radiators at 60, and why a well insulated house pays twice.

To change the tyre, loosen the nuts by half a turn before you lift the car, then place the jack
under the mark behind the front wheel. Never lie under a car that stands on a jack alone. When the
new wheel is on, tighten the nuts crosswise, lower the car and tighten them once more.

Question: a train leaves at 9:40 and arrives at 12:05. How long does the journey take?
Answer: two hours and twenty-five minutes.

def average(values):
    if not values:
        raise ValueError("there is nothing to average")
    return sum(values) / len(values)

Dear Mr Osei, thank you for your letter of 3 March. We are sorry to hear that the table arrived with
a broken leg. A new one is on its way to you and should be there by Friday; please keep the receipt,
and leave the old table with the driver. Yours sincerely, R. Lindqvist

Rivers are older than the valleys they flow through only in rare cases. Mostly the two grow as one:
water carries grains of stone, the grains cut deeper, and what was a groove becomes a gorge in some
hundred thousand years. Where the rock is soft the valley widens, and the river begins to wander.

{"device": "thermostat", "room": "study", "target": 20.5, "schedule": ["07:00", "22:30"]}

She played the piece again, slower this time, and listened to the left hand alone. The mistake was
not where she had looked for it. It never is, her teacher used to say; you stumble over the stone
that you did not see, two steps after it.
"""
